"""The commands on a tokenizer of two levels, trained on photographs: as on one of one level."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from vocabula.cli.main import app
from vocabula.data import read_tokens

TINY = (
    *(f"level{i}.{part}.hidden=8" for i in (1, 2) for part in ("encoder", "decoder")),
    "level1.quantizer={name='finite_scalar', levels=[4, 4]}",
    "data.crop=16",
    "training.batch_size=8",
    "training.steps=4",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
TRAIN = ("train", "sample:photos", "--preset", "photos-2level")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    done = CliRunner().invoke(app, [*TRAIN, "--out", str(run), *TINY])
    assert done.exit_code == 0, done.stderr
    assert "trained 4 steps" in done.stdout
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.mark.slow
def test_train_to_report(vocabula: Callable, run: Path, pictures: Path, tmp_path: Path) -> None:
    done = vocabula("encode", "run", pictures, "-o", "tokens.parquet")
    assert (done.code, done.out.splitlines()[0]) == (0, "encoded 4 images: tokens.parquet")
    record = next(iter(read_tokens(tmp_path / "tokens.parquet")))
    # 16 x 12 pixels are padded to 16 x 16
    assert [level.shape for level in record.levels] == [(2, 2), (4, 4, 2)]
    done = vocabula("decode", "run", "tokens.parquet", "-o", "decoded")
    assert done.code == 0
    with Image.open(tmp_path / "decoded" / "0.png") as image:
        assert (image.mode, image.size) == ("RGB", (12, 16))
    done = vocabula("evaluate", "run", pictures, "--json", "figures.json")
    assert done.code == 0 and "level 1" in done.out and "level 2, book 2" in done.out
    figures = json.loads((tmp_path / "figures.json").read_text())
    # by hand: 4 codes of 4 bits and 16 of 8 over 16 x 12 pixels
    costs = [level["code_bits_per_pixel"] for level in figures["levels"]]
    assert costs == pytest.approx([16 / 192, 128 / 192])
    assert figures["code_bits_per_pixel"] == pytest.approx(144 / 192)
    done = vocabula("report", "run", pictures)
    assert done.code == 0
    assert "without level 1" in (run / "report.html").read_text()


@pytest.mark.slow
def test_info_and_config_name_the_levels(vocabula: Callable, run: Path) -> None:
    out = vocabula("info", "run").out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "level 1 quantizer FiniteScalarQuantizer",
        "level 2 quantizer ResidualQuantizer",
        "level 1 stride 8 x 8 pixels per code position",
        "level 2 codewords 16 x 16",
        "level 1 rate 4 bits per position, 0.0625 per pixel",
        "rate 0.5625 bits per pixel",
    ):
        assert line in lines
    explained = vocabula("config", "photos-2level", "--explain").out
    assert "level2.encoder.downsample" in explained


@pytest.mark.slow
def test_resume_and_wrong_options(vocabula: Callable, run: Path) -> None:
    done = vocabula(*TRAIN, "--out", "run", *TINY, "training.steps=6", "--resume")
    assert done.code == 0 and "trained 6 steps" in done.out
    done = vocabula(*TRAIN, "--out", "other", "level3.encoder.hidden=8")
    assert done.code == 2 and done.err.startswith("error: level3: unknown section")
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_tokens_of_a_flat_tokenizer_are_refused(
    vocabula: Callable, run: Path, saved: Path, pictures: Path
) -> None:
    assert vocabula("encode", saved / "run", pictures, "-o", "flat.parquet").code == 0
    done = vocabula("decode", "run", "flat.parquet", "-o", "out")
    assert done.code == 2 and "expected tokens of tokenizer" in done.err
    assert len(done.err.splitlines()) == 1
