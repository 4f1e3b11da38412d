"""The commands on a tokenizer of several scales: each is a level of token files and figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vocabula.cli.main import app
from vocabula.data import read_tokens

TINY = (
    *(f"{part}.hidden=8" for part in ("encoder", "decoder")),
    "quantizer.scales=[1, 3, 8]",
    "training.batch_size=4",
    "training.steps=2",
    "training.log_every=1",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    words = ["sample:photos", "--preset", "cifar10-multiscale", "--out", str(run), "data.crop=32"]
    done = CliRunner().invoke(app, ["train", *words, *TINY])
    assert done.exit_code == 0, done.stderr
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.mark.slow
def test_train_to_report(vocabula: Callable, run: Path, pictures: Path, tmp_path: Path) -> None:
    assert vocabula("encode", "run", pictures, "-o", "tokens.parquet").code == 0
    record = next(iter(read_tokens(tmp_path / "tokens.parquet")))
    assert [level.shape for level in record.levels] == [(1, 1), (3, 3), (8, 8)]
    assert vocabula("decode", "run", "tokens.parquet", "-o", "decoded").code == 0
    done = vocabula("evaluate", "run", pictures, "--json", "figures.json")
    assert done.code == 0 and "32/3 x 32/3 pixels" in done.out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [level["stride"] for level in figures["levels"]] == [32, 32 / 3, 4]
    assert vocabula("report", "run", pictures).code == 0
    assert "without level 1" in (run / "report.html").read_text()
    lines = [" ".join(line.split()) for line in vocabula("info", "run").out.splitlines()]
    assert "level 2 stride 32/3 x 32/3 pixels per code position" in lines
    assert "parameters" in vocabula("info", "run").out
    assert vocabula("export", "run", "shared", "--data", pictures).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("entropy", ["adaptive", "static"])
def test_files_are_cut_to_the_first_scales(
    vocabula: Callable, run: Path, pictures: Path, tmp_path: Path, entropy: str
) -> None:
    sizes = []
    for stages in (3, 2, 1):
        name = f"{stages}.vcb"
        done = vocabula(
            "compress", "run", pictures, "-o", name, "--stages", stages, "--entropy", entropy
        )
        assert done.code == 0, done.err
        sizes.append((tmp_path / name).stat().st_size)
        done = vocabula("decompress", "run", name, "-o", f"out{stages}")
        assert done.code == 0, done.err
    assert sizes == sorted(sizes, reverse=True)
    assert vocabula("compress", "run", pictures, "-o", "x.vcb", "--stages", "4").code == 2
