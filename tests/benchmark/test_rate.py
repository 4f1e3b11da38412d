"""Rate and distortion beside JPEG and WebP: held to Pillow itself and to hand arithmetic."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vocabula import codec, open_source
from vocabula.benchmark.rate import (
    bd_rate,
    jpeg_beside,
    measure_rates,
    rate_figure,
    rate_tables,
    verdict,
)
from vocabula.benchmark.rate.figure import plot_limits
from vocabula.benchmark.rate.matching import RivalPicture, log_linear, on_curve
from vocabula.benchmark.rate.picture_codecs import (
    AVIF,
    JPEG,
    JPEG_XL,
    WEBP,
    PictureCodec,
    picture_codecs,
)
from vocabula.benchmark.rate.study import Comparison, RatePoint, RateStudy
from vocabula.errors import DataError, OptionError
from vocabula.pipelines import learn_statistics
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

NET = {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 4}
BOOK = {"name": "vector", "dim": 4, "codebook_size": 8}
RESIDUAL = {"name": "residual", "stages": [BOOK] * 3}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"optimize": True},
    "WebP": {"method": 6},
    "AVIF": {"speed": 6},
}


def tokenizer_of(quantizer: object, channels: int = 3) -> SignalTokenizer:
    torch.manual_seed(0)
    tokenizer = build_tokenizer({"encoder": NET, "decoder": NET, "quantizer": quantizer}, channels)
    with torch.no_grad():
        tokenizer.train()(torch.rand(8, channels, 32, 32))
    return tokenizer.eval()


def photograph(height: int = 40, width: int = 56, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours with some noise: (H, W, 3)."""
    generator = np.random.default_rng(seed)
    down, along = np.mgrid[:height, :width]
    waves = [np.sin(down / (5 + seed + c)) + np.cos(along / (7 + c)) for c in range(3)]
    noisy = 128 + 50 * np.stack(waves, -1) + generator.normal(0, 6, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def pillow(name: str, pixels: NDArray[np.uint8], quality: int) -> tuple[int, float]:
    """Bytes and PSNR by Pillow and float64 arithmetic alone."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=name, quality=quality, **OPTIONS[name])
    found = np.asarray(Image.open(io.BytesIO(file.getvalue())), np.float64)
    error = np.mean((found - pixels.astype(np.float64)) ** 2)
    return len(file.getvalue()), float(10 * np.log10(255**2 / error))


def test_interpolation_is_linear_in_the_logarithm_of_the_rate() -> None:
    assert log_linear(2.0, (1.0, 30.0), (4.0, 36.0)) == pytest.approx(33.0)  # log 2 is half log 4
    assert log_linear(1000.0, (100.0, 20.0), (10000.0, 21.0)) == pytest.approx(20.5)
    curve = [(1.0, 30.0), (4.0, 36.0), (16.0, 40.0)]
    assert on_curve(8.0, curve) == pytest.approx(38.0)
    assert on_curve(1.0, curve) == pytest.approx(30.0)
    assert on_curve(0.99, curve) is None
    assert on_curve(16.0, curve) == on_curve(100.0, curve) == 40.0


@pytest.mark.parametrize("rival", [JPEG, WEBP, AVIF], ids=lambda rival: rival.name)
def test_a_rival_gets_the_bytes_of_our_file(rival: PictureCodec) -> None:
    pixels = photograph()
    direct = {q: pillow(rival.name, pixels, q) for q in range(rival.qualities[0], 101)}
    files = RivalPicture(rival, pixels)
    for quality in rival.qualities:
        assert files.size(quality) == direct[quality][0]
        assert files.fidelity(quality).psnr_db == pytest.approx(direct[quality][1], abs=1e-9)
    for share in (0.1, 0.35, 0.8):
        size = int(direct[rival.qualities[0]][0] * (1 - share) + direct[95][0] * share)
        expected = [  # a size may be crossed more than once: any crossing is a match
            low[1] + np.log(size / low[0]) / np.log(high[0] / low[0]) * (high[1] - low[1])
            for low, high in ((direct[q], direct[q + 1]) for q in range(rival.qualities[0], 100))
            if low[0] <= size < high[0]
        ]
        found = files.at(size)
        assert found is not None
        assert min(abs(found.psnr_db - one) for one in expected) < 1e-9


def test_jpeg_xl_is_a_rival_where_its_plugin_is() -> None:
    assert picture_codecs() == (JPEG, WEBP, AVIF, JPEG_XL)
    files = RivalPicture(JPEG_XL, photograph())
    sizes = [files.size(quality) for quality in (5, 50, 95)]
    psnrs = [files.fidelity(quality).psnr_db for quality in (5, 50, 95)]
    assert sizes == sorted(sizes) and psnrs == sorted(psnrs)
    assert psnrs[-1] > 33
    grey = photograph()[..., :1]
    assert JPEG_XL.decode(JPEG_XL.encode(grey, 95), 1).shape == grey.shape


def test_without_the_plugins_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    assert picture_codecs() == (JPEG, WEBP)


def test_a_rival_says_what_it_cannot_reach() -> None:
    pixels = photograph(32, 32)
    files = RivalPicture(JPEG, pixels)
    least = min(pillow("JPEG", pixels, q)[0] for q in JPEG.qualities)
    assert files.at(least - 1) is None
    assert files.at(least) is not None
    best = files.at(10**6)
    assert best is not None and best.psnr_db == pytest.approx(pillow("JPEG", pixels, 100)[1])


def test_pictures_that_a_format_cannot_hold_are_named() -> None:
    with pytest.raises(DataError, match="rate: expected pictures that WebP can hold, got one of 1"):
        WEBP.encode(np.zeros((1, 16400, 3), np.uint8), 50)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three pictures, one of another size."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, (height, width) in enumerate(((40, 56), (40, 56), (24, 33))):
        Image.fromarray(photograph(height, width, i)).save(folder / f"{i}.png")
    return folder


@pytest.mark.slow
def test_files_are_those_that_compress_writes(pictures: Path) -> None:
    tokenizer = tokenizer_of(RESIDUAL)
    rivals = (JPEG, WEBP, AVIF)
    study = measure_rates(tokenizer, open_source(str(pictures)), jobs=2, rivals=rivals)
    originals = [np.asarray(Image.open(path)) for path in sorted(pictures.glob("*.png"))]
    tensors = [torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in originals]
    assert [point.setting for point in study.points] == [1, 2, 3]
    assert study.pixels == 40 * 56 * 2 + 24 * 33
    for point, one_file in zip(study.points, study.one_file, strict=True):
        files = [codec.to_bytes([one], tokenizer, stages=point.setting) for one in tensors]
        outputs = [codec.read(file, tokenizer)[0].permute(1, 2, 0).numpy() for file in files]
        errors = [
            np.square(a.astype(float) - b) / 255**2 for a, b in zip(originals, outputs, strict=True)
        ]
        psnrs = [-10 * np.log10(error.mean()) for error in errors]
        rates = [8 * len(f) / one[..., 0].size for f, one in zip(files, originals, strict=True)]
        whole = np.concatenate([error.reshape(-1) for error in errors]).mean()
        assert point.bytes == sum(map(len, files))
        assert point.bits_per_pixel == pytest.approx(np.mean(rates))
        assert point.psnr_db == pytest.approx(np.mean(psnrs))
        assert point.psnr_db_all_pixels == pytest.approx(-10 * np.log10(whole))
        together = codec.to_bytes(tensors, tokenizer, stages=point.setting)
        assert one_file.bytes == len(together)
        assert one_file.bits_per_pixel == pytest.approx(8 * len(together) / study.pixels)
        assert one_file.psnr_db == point.psnr_db
    for name, curve in study.curves.items():
        for point in curve:
            direct = [pillow(name, one, point.setting) for one in originals]
            assert point.bytes == sum(size for size, _ in direct)
            assert point.psnr_db == pytest.approx(np.mean([psnr for _, psnr in direct]))


@pytest.mark.slow
def test_comparisons_are_means_over_pictures_of_equal_bytes(pictures: Path) -> None:
    tokenizer = tokenizer_of(RESIDUAL)
    source, rivals = open_source(str(pictures)), (JPEG, WEBP)
    study = measure_rates(tokenizer, source, entropy="uniform", rivals=rivals)
    paths = sorted(pictures.glob("*.png"))
    for found in study.comparisons:
        rival = {"JPEG": JPEG, "WebP": WEBP}[found.codec]
        matched = []
        for path in paths:
            pixels = np.asarray(Image.open(path))
            tensor = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
            file = codec.to_bytes([tensor], tokenizer, entropy="uniform", stages=found.stages)
            matched.append(RivalPicture(rival, pixels).at(len(file)))
        reached = [one for one in matched if one is not None]
        assert found.images == len(reached)
        if reached:
            assert found.psnr_db == pytest.approx(np.mean([one.psnr_db for one in reached]))
        else:
            assert found.gain_db is None and found.wins is None
    assert {"JPEG", "WebP"} == {one.codec for one in study.comparisons}


def test_grey_pictures_and_one_book_give_onepoint(tmp_path: Path) -> None:
    grey = photograph()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    study = measure_rates(tokenizer_of(BOOK, 1), open_source(str(tmp_path), channels=1))
    assert [point.setting for point in study.points] == [1]
    assert study.one_file == () and study.one_file_comparisons == ()
    assert len(rate_tables(study)) == 2  # the files, and the times
    for point in study.curves["JPEG"]:
        size, psnr = pillow("JPEG", grey, point.setting)
        assert point.bytes == size and point.psnr_db == pytest.approx(psnr)


def test_what_does_not_fit_is_refused(pictures: Path) -> None:
    source = open_source(str(pictures))
    with pytest.raises(OptionError, match="continuous"):
        measure_rates(tokenizer_of({"name": "gaussian", "dim": 4}), source)
    with pytest.raises(OptionError, match="1 or 3 channels"):
        measure_rates(tokenizer_of(BOOK, 4), source)
    with pytest.raises(OptionError, match="vocabula counts"):
        measure_rates(tokenizer_of(BOOK), source, entropy="static")
    with pytest.raises(OptionError, match="limit"):
        measure_rates(tokenizer_of(BOOK), source, limit=0)
    with pytest.raises(OptionError, match="jobs"):
        measure_rates(tokenizer_of(BOOK), source, jobs=0)


def point(setting: int, rate: float, psnr: float) -> RatePoint:
    return RatePoint(setting, 100, rate, rate, psnr, psnr, 0.9)


STUDY = RateStudy(
    data="x",
    entropy="adaptive",
    images=4,
    skipped=0,
    pixels=100,
    points=(point(1, 0.1, 22.0), point(2, 0.2, 24.0), point(3, 0.4, 25.0)),
    curves={"JPEG": (point(1, 0.15, 20.0), point(100, 6.0, 45.0))},
    comparisons=(
        Comparison("JPEG", 1, 0, 0.15, 20.0),
        Comparison("WebP", 1, 4, 0.05, 20.0, 22.0, 23.0, 0.9, 0.9, 0),
        Comparison("JPEG", 2, 3, 0.15, 20.0, 24.0, 23.0, 0.9, 0.9, 2),
        Comparison("WebP", 2, 4, 0.05, 20.0, 24.0, 25.5, 0.9, 0.9, 1),
        Comparison("JPEG", 3, 4, 0.15, 20.0, 25.0, 28.0, 0.9, 0.9, 0),
        Comparison("WebP", 3, 4, 0.05, 20.0, 25.0, 29.0, 0.9, 0.9, 0),
    ),
    one_file=(),
    one_file_comparisons=(),
)


def test_the_verdict_follows_from_the_figures() -> None:
    assert verdict(STUDY) == (
        "vocabula at equal bytes: with a file for each picture it wins over JPEG at 0.2 (3 of 4 "
        "pictures) bits per pixel (by 1.00 dB), loses to JPEG at 0.4 bits per pixel (by 3.00 dB) "
        "and WebP at 0.1, 0.2 and 0.4 bits per pixel (by 1.00 to 4.00 dB) and is below the "
        "smallest files of JPEG at 0.1 bits per pixel (theirs take 0.15 with 20.00 dB)."
    )
    better = tuple(
        replace(one, psnr_db=one.psnr_db - 9) for one in STUDY.comparisons if one.psnr_db
    )
    text = verdict(replace(STUDY, comparisons=better))
    assert "loses nowhere" in text and "smallest files" not in text
    assert "wins nowhere" in verdict(replace(STUDY, comparisons=STUDY.comparisons[1::2]))


def test_the_delta_rate() -> None:
    twice = [(2.0, 30.0), (4.0, 33.0), (8.0, 36.0)]
    once = [(rate / 2, psnr) for rate, psnr in twice]
    assert bd_rate(twice, once) == pytest.approx(1.0)
    assert bd_rate(once, twice) == pytest.approx(-0.5)
    # straight lines in the logarithm, by hand: log2 of the rates differs by 1 at 30 dB and by 0 at
    # 36 dB, and by 3/4 and 1/4 between, so by 1/2 in the mean
    line = [(2.0, 30.0), (2 * 2**0.5, 33.0), (4.0, 36.0)]
    assert bd_rate(line, [(1.0, 30.0), (2.0, 33.0), (4.0, 36.0)]) == pytest.approx(2**0.5 - 1)
    assert bd_rate([*twice, (9.0, 35.0)], once) == pytest.approx(1.0)  # dearer and worse: no point
    assert bd_rate([(1.0, 30.0)], once) is None
    assert bd_rate([(1.0, 10.0), (2.0, 20.0)], once) is None


def test_times_and_held_out_bits(pictures: Path) -> None:
    tokenizer = tokenizer_of(RESIDUAL)
    source = open_source(str(pictures))
    known = learn_statistics(tokenizer, source)
    study = measure_rates(tokenizer, source, statistics=known)
    assert list(study.speeds) == ["vocabula", "JPEG", "WebP", "AVIF", "JPEG XL"]
    assert all(s.encode_seconds > 0 and s.decode_seconds > 0 for s in study.speeds.values())
    bits = study.code_bits
    assert bits is not None and bits.fixed == pytest.approx(3)  # 8 codewords in every book
    total, entropy = sum(int(counts.sum()) for counts in known.counts), 0.0
    for counts in known.counts:
        shares = counts[counts > 0] / counts.sum()
        entropy += float(-(shares * np.log2(shares)).sum() * counts.sum())
    assert bits.training == pytest.approx(entropy / total)
    assert bits.training <= bits.held_out < bits.training + 0.1  # the same codes, one hit each more
    assert measure_rates(tokenizer, source).code_bits is None
    tables = {table.title: table for table in rate_tables(study)}
    assert [row[0] for row in tables["a picture, at about our bytes"].rows] == list(study.speeds)


def test_tables_say_what_a_rival_cannot_reach() -> None:
    (table,) = rate_tables(STUDY)
    jpeg = table.columns.index("JPEG of this size")
    assert table.rows[0][jpeg] == "cannot reach this rate (smallest 0.15)"
    assert table.rows[1][jpeg] == "23.00 dB (ours +1.00 dB, 3 of 4 pictures)"
    assert table.rows[2][jpeg + 1] == "29.00 dB (ours -4.00 dB)"


@pytest.mark.slow
def test_the_figure_is_a_picture() -> None:
    with Image.open(io.BytesIO(rate_figure([("ours", STUDY)], "x"))) as opened:
        assert opened.format == "PNG" and opened.size[0] > 600


def test_the_plot_fits_the_points_of_the_tokenizer() -> None:
    points = [point(1, 0.1, 20.0), point(2, 0.4, 26.0)]
    curve = [point(1, 0.05, 10.0), point(2, 0.2, 24.0), point(3, 6.4, 54.0)]
    study = replace(STUDY, points=points, one_file=[], curves={"JPEG": curve})
    (low, high), (bottom, top) = plot_limits([("ours", study)])
    assert low < 0.1 and high > 0.4 and high / low < 20
    # by hand: the curve rises by 6 dB with each doubling from 0.2 to 6.4 bits per pixel
    inside = 24 + 6 * math.log2(high / 0.2)
    assert bottom < 20 and inside < top < inside + 3


@pytest.mark.parametrize("channels", [1, 3])
def test_the_jpeg_beside_takes_at_most_as_many_bytes(channels: int) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizer_of(BOOK, channels)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, channels), dtype=np.uint8)
    rival = jpeg_beside(tokenizer)(pixels)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    assert rival.own_bytes == len(codec.to_bytes(image, tokenizer))
    assert rival.name == "JPEG" and rival.pixels.shape == pixels.shape
    smallest = RivalPicture(JPEG, pixels).size(1)
    assert rival.bytes <= max(rival.own_bytes, smallest)
