"""``vocabula compress --quality``, ``--effort`` and ``--target-bpp`` with a rate term."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.data import read_tokens
from vocabula.tokenizers import build_tokenizer

Vocabula = Callable[..., Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lapped transform with a codebook of smooth pictures and a rate term."""
    torch.manual_seed(0)
    rate = {"name": "rate", "weight": 0.01, "null": True, "contexts": 2}
    quantizer = {"name": "vector", "dim": 12, "codebook_size": 64, "rate": rate}
    net = {"name": "lapped", "downsample": 4}
    tokenizer = build_tokenizer({"encoder": net, "decoder": net, "quantizer": quantizer}, 3)
    for seed in range(30):
        tokenizer(smooth(seed)[None].float() / 255)
    folder = tmp_path_factory.mktemp("rate") / "run"
    tokenizer.eval().save_pretrained(folder)
    return folder


def smooth(seed: int) -> torch.Tensor:
    """A picture (3, 64, 64) of random shades, as uint8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 9, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")[0]
    return (fine * 255).round().byte()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(smooth(99).permute(1, 2, 0).numpy()).save(path)
    return path


def error(original: Path, back: str) -> float:
    images = [np.asarray(Image.open(path), np.float64) for path in (original, back)]
    return float(np.square(images[0] - images[1]).mean())


def test_quality_trades_bytes_for_error(vocabula: Vocabula, run: Path, picture: Path) -> None:
    sizes, errors = [], []
    for quality in (5, 50, 95):
        words = ("compress", run, picture, "--quality", quality, "-o", f"{quality}.vcb")
        assert vocabula(*words).code == 0
        assert vocabula("decompress", run, f"{quality}.vcb", "-o", f"{quality}.png").code == 0
        sizes.append(Path(f"{quality}.vcb").stat().st_size)
        errors.append(error(picture, f"{quality}.png"))
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert errors == sorted(errors, reverse=True)
    assert vocabula("compress", run, picture, "-o", "plain.vcb", "--effort", 0).code == 0
    assert Path("plain.vcb").read_bytes() == Path("50.vcb").read_bytes()


def test_a_target_is_met_by_the_bytes_of_the_file(
    vocabula: Vocabula, run: Path, picture: Path
) -> None:
    sizes = {}
    for quality in (5, 95):
        vocabula("compress", run, picture, "--quality", quality, "-o", f"{quality}.vcb")
        sizes[quality] = Path(f"{quality}.vcb").stat().st_size
    most = (sizes[5] + sizes[95]) // 2
    done = vocabula("compress", run, picture, "--target-bpp", 8 * most / 64**2, "-o", "t.vcb")
    assert done.code == 0, done.err
    assert sizes[5] <= Path("t.vcb").stat().st_size <= most
    low = vocabula("compress", run, picture, "--target-bpp", 0.01, "-o", "low.vcb")
    assert low.code == 2 and low.err.count("\n") == 1 and "lowest quality" in low.err
    assert not Path("low.vcb").exists()


def test_codes_for_a_prior_have_a_quality_too(
    vocabula: Vocabula, run: Path, picture: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    picture.rename(data / "a.png")

    def codes_of(name: str, *words: object) -> np.ndarray:
        done = vocabula("encode", run, data, "-o", name, *words)
        assert done.code == 0, done.err
        (record,) = read_tokens(name)
        return np.concatenate([np.asarray(level).reshape(-1) for level in record.codes])

    found = {q: codes_of(f"{q}.parquet", "--quality", q) for q in (5, 50, 95)}
    entropies = []
    for codes in found.values():
        share = np.bincount(codes, minlength=64) / codes.size
        entropies.append(float(-(share[share > 0] * np.log2(share[share > 0])).sum()))
    assert entropies[0] < entropies[1] < entropies[2]
    assert np.array_equal(codes_of("plain.parquet"), found[50])
    assert np.array_equal(codes_of("parts", "--shards", 1, "--quality", 5), found[5])
    other = vocabula("encode", run, data, "-o", "parts", "--shards", 1)
    assert other.code == 2 and "expected --quality 5.0, as the plan says" in other.err
    for words in ((101,), (-1, "--shards", 1)):
        done = vocabula("encode", run, data, "-o", "x.parquet", "--quality", *words)
        assert done.code == 2 and "0 to 100" in done.err and done.err.count("\n") == 1
        assert not Path("x.parquet").exists()


def test_effort_saves_bits(vocabula: Vocabula, run: Path, picture: Path) -> None:
    assert vocabula("compress", run, picture, "--effort", 1, "-o", "1.vcb").code == 0
    assert vocabula("compress", run, picture, "-o", "0.vcb").code == 0
    assert vocabula("decompress", run, "1.vcb", "-o", "1.png").code == 0
    assert Path("1.vcb").stat().st_size <= Path("0.vcb").stat().st_size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quality", 101), "from 0 to 100, got 101"),
        (("--quality", "nan"), "from 0 to 100, got nan"),
        (("--effort", 7), "effort: expected one of 0, 1"),
        (("--target-bpp", "nan"), "above 0, got nan"),
        (("--target-bpp", 0), "above 0, got 0"),
        (("--quality", 50, "--target-bpp", 1), "got both"),
    ],
)
def test_wrong_options_end_in_one_line(
    vocabula: Vocabula, run: Path, picture: Path, words: tuple[object, ...], message: str
) -> None:
    done = vocabula("compress", run, picture, "-o", "x.vcb", *words)
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not Path("x.vcb").exists()


def test_a_tokenizer_without_a_rate_term_has_no_quality(
    vocabula: Vocabula, saved: Path, picture: Path
) -> None:
    for option in ("--quality", "--effort"):
        done = vocabula("compress", saved / "run", picture, option, 1, "-o", "x.vcb")
        assert done.code == 2 and done.err.count("\n") == 1
        assert "rate term" in done.err and not Path("x.vcb").exists()


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf"])
def test_a_weight_of_bits_is_positive(
    vocabula: Vocabula, tmp_path: Path, pictures: Path, weight: str
) -> None:
    setting = f'quantizer.rate={{name="rate", weight={weight}}}'
    words = ("--preset", "photos", "quantizer=vector", "quantizer.codebook_size=8", setting)
    done = vocabula("train", pictures, "--out", "r", *words)
    assert done.code == 2 and "weight" in done.err, done.err
    assert not Path("r").exists()
