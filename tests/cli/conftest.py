"""A tiny trained run, saved twice, and a way to run the command line in this process."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image
from typer.testing import CliRunner

from vocabula.cli.main import app

SMALL = {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 4}
QUANTIZER = {"name": "vector", "dim": 4, "codebook_size": 16}
COLUMNS = "200"  # wide enough that no table folds
built = functools.cache(typer.main.get_command)
"""The commands of an app, which typer's runner builds anew for every call: half of its time."""


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def vocabula(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """A function that runs ``vocabula`` with the given words."""
    monkeypatch.setattr("typer.testing._get_command", built)

    def run(*words: object) -> Outcome:
        result = CliRunner(env={"COLUMNS": COLUMNS, "TERM": "dumb"}).invoke(
            app, [str(w) for w in words], prog_name="vocabula"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, as the only process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)


def _save(folder: Path, seed: int, channels: int = 3, quantizer: object = None) -> Path:
    from vocabula.tokenizers import build_tokenizer

    torch.manual_seed(seed)
    specs = {"encoder": SMALL, "decoder": SMALL, "quantizer": quantizer or QUANTIZER}
    tokenizer = build_tokenizer(specs, channels)
    with torch.no_grad():
        tokenizer.train()(torch.rand(8, channels, 16, 16))
    tokenizer.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of tiny saved models: ``run``, ``other`` (other weights), ``grey`` and ``vae``."""
    root = tmp_path_factory.mktemp("saved")
    run = _save(root / "run", seed=0)
    manifest = {
        "format": "vocabula-run",
        "data": "pictures",
        "images": 5,
        "preset": "photos",
        "command": "vocabula train pictures",
        "config": {"training": {"steps": 20}},
    }
    (run / "run.json").write_text(json.dumps(manifest))
    (run / "log.jsonl").write_text('{"step": 10, "loss": 0.5, "psnr": 21.0}\n')
    _save(root / "other", seed=1)
    _save(root / "grey", seed=0, channels=1)
    _save(root / "vae", seed=0, quantizer={"name": "gaussian", "dim": 4})
    yield root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four small colour pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(4):
        pixels = generator.integers(0, 256, (16, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
