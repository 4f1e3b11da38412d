"""Pictures of every kind, decoded to values known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.data.image_problems import BrokenImageError
from vocabula.data.pixels import convert_channels, decode, read_header
from vocabula.errors import DataError


def test_exif_rotation_turns_the_picture_upright(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    path = tmp_path / "turned.jpg"
    Image.fromarray(wide).save(path, exif=exif, quality=100)
    upright = decode(path, 3)
    assert upright.shape == (16, 8, 3)
    assert upright[:8].min() > 250 and upright[8:].max() < 5  # left went up
    assert (read_header(path).height, read_header(path).width) == (16, 8)


def test_palette_with_a_transparent_entry_is_laid_over_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250])
    path = tmp_path / "palette.png"
    picture.save(path, transparency=1)
    expected = [[[10, 20, 30], [255, 255, 255]], [[0, 0, 250], [10, 20, 30]]]
    np.testing.assert_array_equal(decode(path, 3), expected)


def test_half_transparent_alpha_is_blended_with_white_and_kept_for_four_channels(
    tmp_path: Path,
) -> None:
    rgba = np.full((1, 2, 4), 0, np.uint8)
    rgba[0, :, 3] = (255, 51)  # opaque black, and black of one fifth
    path = tmp_path / "alpha.webp"
    Image.fromarray(rgba).save(path, lossless=True, exact=True)
    np.testing.assert_array_equal(decode(path, 3)[0, :, 0], [0, 204])
    np.testing.assert_array_equal(decode(path, 1)[0, :, 0], [0, 204])
    np.testing.assert_array_equal(decode(path, 4), rgba)


def test_sixteen_bit_grey_keeps_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    values = np.array([[0, 257, 65535, 128 * 257]], np.uint16)
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(decode(path, 1)[..., 0], [[0, 1, 255, 128]])
    np.testing.assert_array_equal(decode(path, 3)[..., 2], [[0, 1, 255, 128]])
    assert read_header(path).channels == 1


def test_float_grey_lies_in_zero_to_one_or_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    Image.fromarray(np.array([[0.0, 0.2, 1.0]], np.float32)).save(good)
    Image.fromarray(np.array([[0.0, 7.0, np.nan]], np.float32)).save(bad)
    np.testing.assert_array_equal(decode(good, 1)[..., 0], [[0, 51, 255]])
    with pytest.raises(BrokenImageError, match=r"expected \[0, 1\]"):
        decode(bad, 1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp"])
def test_lossless_formats_round_trip(tmp_path: Path, suffix: str) -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(image).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(decode(path, 3), image)
    np.testing.assert_array_equal(decode(path.read_bytes(), 3), image)


def test_the_transparent_value_of_16_bit_grey_is_laid_over_white(tmp_path: Path) -> None:
    values = Image.fromarray(np.array([[257, 514]], np.uint16))
    values.save(tmp_path / "a.png", transparency=257)
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 1)[..., 0], [[255, 2]])
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 4)[0], [[1, 1, 1, 0], [2, 2, 2, 255]])


def test_black_and_white_bits_and_cmyk(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decode(tmp_path / "bits.png", 1)[..., 0], [[255, 0]])
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    red = decode(tmp_path / "print.jpg", 3)
    assert red[..., 0].min() > 200 and red[..., 1:].max() < 60


def test_truncated_picture_is_broken_though_its_header_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.randint(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    assert read_header(path).height == 64
    with pytest.raises(BrokenImageError, match="truncated"):
        decode(path, 3)


def test_text_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("not a picture")
    with pytest.raises(BrokenImageError, match="not a picture"):
        read_header(path)


def test_channel_conversions() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(convert_channels(red, 1, "x"), [[[76]]])  # 0.299 * 255 = 76.2
    grey = np.array([[[0.5]]], np.float32)
    np.testing.assert_array_equal(convert_channels(grey, 3, "x"), np.full((1, 1, 3), 0.5))
    clear = np.array([[[0, 0, 0, 51]]], np.uint8)
    np.testing.assert_array_equal(convert_channels(clear, 3, "x"), np.full((1, 1, 3), 204))
    with pytest.raises(DataError, match="5 channels, got 3"):
        convert_channels(red, 5, "x")
