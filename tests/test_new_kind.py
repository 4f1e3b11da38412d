"""A kind of signal from outside the package: the module and settings of CONTRIBUTING.md."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from processes import FORKED

ROOT = Path(__file__).parents[1]


def _block(language: str, first: str) -> str:
    """The block of the page that begins with a line."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return next(block for block in found if block.startswith(first))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module, its settings, and 100 sine waves of 2 channels."""
    folder = tmp_path_factory.mktemp("beats")
    (folder / "beats.py").write_text(_block("python", "# needs a file of its own: beats.py"))
    (folder / "beats.toml").write_text(_block("toml", "# beats.toml"))
    random = np.random.default_rng(0)
    phase, moments = random.uniform(0, 6, (100, 2, 1)), np.arange(18) / 3
    waves = 5 + np.sin(phase + moments) + random.normal(0, 0.05, (100, 2, 18))
    np.save(folder / "beats.npy", waves.astype(np.float32))
    _run(folder, "train", "beats.npy", "--preset", "beats.toml", "-o", "run")
    return folder


def _run(folder: Path, *words: str, code: int = 0) -> str:
    """A command in the folder; its output, after a check of the exit status."""
    process = FORKED.Process(target=_command, args=(folder, words))
    process.start()
    process.join(300)
    said = (folder / "error.txt").read_text()
    assert process.exitcode == code, said
    return (folder / "output.txt").read_text() if code == 0 else said


def _command(folder: Path, words: tuple[str, ...]) -> None:
    """Run a command in this process, a fresh one, with its streams in files."""
    from vocabula.cli.main import main

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["vocabula", "--import", "beats", *words]
    with open("output.txt", "w") as sys.stdout, open("error.txt", "w") as sys.stderr:
        main()


def test_it_trains_and_is_measured_with_its_own_figures(place: Path) -> None:
    figures = json.loads(_run(place, "evaluate", "run", "beats.npy", "--json", "-"))
    assert figures["beats"] == 100 and figures["code_bits_per_moment"] == 5 * 5 / 18
    assert figures["explained_variance"] > 0.5 and figures["largest_error"] > 0
    assert "psnr" not in figures and "images" not in figures
    table = _run(place, "evaluate", "run", "beats.npy")
    assert "largest error" in table and "code bits/moment" in table
    log = (place / "run" / "log.jsonl").read_text().splitlines()
    assert "beats_per_second" in json.loads(log[-1])
    assert "beats" in _run(place, "info", "run")


def test_its_codes_go_to_a_file_and_back(place: Path) -> None:
    _run(place, "encode", "run", "beats.npy", "-o", "tokens.parquet")
    header = json.loads(pq.read_schema(place / "tokens.parquet").metadata[b"vocabula"])
    assert (header["version"], header["signal"]) == (3, "beat")
    _run(place, "decode", "run", "tokens.parquet", "-o", "decoded.npy")
    before, after = np.load(place / "beats.npy"), np.load(place / "decoded.npy")
    assert after.shape == before.shape
    figures = json.loads(_run(place, "evaluate", "run", "beats.npy", "--json", "-"))
    assert ((after - before) ** 2).mean() == pytest.approx(figures["mse"], rel=1e-4)


def test_it_has_a_page(place: Path) -> None:
    _run(place, "report", "run", "beats.npy", "-o", "page.html", "--examples", "4")
    text = (place / "page.html").read_text()
    assert "largest error" in text and "[3]" in text and "Codebook" in text


def test_it_compresses(place: Path) -> None:
    _run(place, "encode", "run", "beats.npy", "-o", "again.parquet")
    _run(place, "decode", "run", "again.parquet", "-o", "again.npy")
    _run(place, "compress", "run", "beats.npy", "-o", "beats.vcb")
    assert "beat" in _run(place, "inspect", "beats.vcb")
    _run(place, "decompress", "run", "beats.vcb", "-o", "opened.npy")
    assert np.array_equal(np.load(place / "opened.npy"), np.load(place / "again.npy"))
    assert (place / "beats.vcb").stat().st_size < 100 * 5 * 5 / 8 + 500  # fixed length and head


def test_data_of_another_kind_are_refused(place: Path) -> None:
    np.save(place / "flat.npy", np.zeros(5, np.float32))
    for data, reason in (("flat.npy", "missing axes"), ("sample:photos", "expected signals")):
        error = _run(place, "evaluate", "run", data, code=2)
        assert reason in error and error.count("\n") == 1
