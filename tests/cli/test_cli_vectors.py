"""The commands on vectors, from a file to a page and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from vocabula.cli.main import app

ROWS = np.random.default_rng(0).normal(2, 3, (300, 5)).astype(np.float32)
SMALL = ["training.steps=3", "training.batch_size=64", "quantizer.stages.*.codebook_size=8"]


@pytest.fixture
def say(vocabula: Callable) -> Callable[..., str]:
    """Runs a command, checks its exit status and gives what it printed."""

    def run(*words: object, code: int = 0) -> str:
        done = vocabula(*words)
        assert done.code == code, done.err
        return str(done.out if code == 0 else done.err)

    return run


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """A file of vectors."""
    np.save(tmp_path / "states.npy", ROWS)
    return tmp_path / "states.npy"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on such a file."""
    folder = tmp_path_factory.mktemp("trained")
    np.save(folder / "states.npy", ROWS)
    words = [str(folder / "states.npy"), "--preset", "vectors", "-o", str(folder / "run"), *SMALL]
    done = CliRunner().invoke(app, ["train", *words])
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run(trained: Path, states: Path) -> Path:
    """A copy of that run beside the file, which a test may change."""
    return Path(shutil.copytree(trained, states.parent / "run"))


def test_every_command_in_turn(run: Path, states: Path, say: Callable) -> None:
    figures = json.loads(say("evaluate", run, states, "--json", "-"))
    assert (figures["vectors"], figures["code_bits_per_vector"]) == (300, 12)
    assert 0 < figures["mse_over_variance"] < 1 and "images" not in figures
    assert "300 vectors" in say("info", run)
    tokens = run.parent / "tokens.parquet"
    assert "encoded 300 vectors" in say("encode", run, states, "-o", tokens)
    assert json.loads(pq.read_schema(tokens).metadata[b"vocabula"])["signal"] == "vector"
    for name in ("decoded.npy", "decoded.parquet"):
        say("decode", run, tokens, "-o", run.parent / name)
    decoded = np.load(run.parent / "decoded.npy")
    assert float(((decoded - ROWS) ** 2).mean()) == pytest.approx(figures["mse"], rel=1e-4)
    assert "Error by book" in _page(say, "report", run, states, "-o", run.parent / "a.html")
    say("compress", run, states, "-o", run.parent / "states.vcb")
    say("decompress", run, run.parent / "states.vcb", "-o", run.parent / "opened.npy")
    assert np.array_equal(np.load(run.parent / "opened.npy"), decoded)
    say("export", run, run.parent / "shared", "--data", states)
    assert "explained_variance" in (run.parent / "shared" / "README.md").read_text()


def _page(say: Callable, *words: object) -> str:
    say(*words)
    return Path(str(words[-1])).read_text()


def test_rows_that_are_broken(run: Path, states: Path, say: Callable) -> None:
    rows = ROWS.copy()
    rows[[3, 9], 0] = np.nan
    np.save(states.parent / "nan.npy", rows)
    out = states.parent / "t.parquet"
    assert "298 vectors" in say("encode", run, states.parent / "nan.npy", "-o", out)
    out.unlink()
    words = ("encode", run, states.parent / "nan.npy", "-o", out, "--strict")
    assert "nan.npy[3]: expected finite values" in say(*words, code=2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("sample:photos", "expected vectors, such as sample:digits, got images"),
        ("sample:digits", "expected vectors of width 5, got 64"),
        ("missing.npy", "nothing at that place"),
    ],
)
def test_data_of_another_kind(run: Path, data: str, reason: str, say: Callable) -> None:
    assert reason in say("evaluate", run, data, code=2)


def test_vectors_given_to_a_preset_of_images(states: Path, say: Callable) -> None:
    out = states.parent / "images"
    assert "--preset vectors" in say("train", states, "-o", out, code=2)
    assert not out.exists()


def test_commands_for_images_alone(run: Path, states: Path, say: Callable) -> None:
    assert "a tokenizer of images or recordings, got one of vectors" in say(
        "rate", run, states, code=2
    )
    words = ("encode", run, states, "-o", "x.parquet", "--crop", "8")
    assert "expected a tokenizer of images, got one of vectors" in say(*words, code=2)
    assert "--value-range" in say("evaluate", run, states, "--value-range", 0, 1, code=2)
