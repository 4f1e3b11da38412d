"""Palettes: exact where that is possible, near the best known, and codes as of brute force."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.cluster import KMeans

from vocabula import palette
from vocabula.errors import CodeError, OptionError, ShapeError


def noise(*shape: int, seed: int = 0, colors: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, colors, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[::4, ::4])


def mse(image: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(image.astype(float) - other).mean())


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 4)])
@pytest.mark.parametrize("dither", [False, True])
def test_few_colours_are_kept_exactly(shape: tuple[int, ...], dither: bool) -> None:
    image = noise(*shape, colors=3) * np.uint8(60) + np.uint8(20)
    full = image.reshape(6, 5, -1)
    different = np.unique(full.reshape(30, -1), axis=0)
    book = palette.fit(image, 256)
    assert book.tolist() == different.tolist()  # each once, in lexicographic order
    assert palette.fit(image, len(different)).tolist() == different.tolist()
    codes = palette.encode(image, book, dither=dither)
    assert codes.dtype == np.uint8
    assert np.array_equal(palette.decode(codes, book), full)


def test_two_groups_by_hand() -> None:
    # 10 three times and 22: 52 / 4 = 13; 200 and twice 203: 202. Without counts 16 and 201.5.
    image = np.array([[10, 10, 10, 22, 200, 203, 203]], np.uint8)
    book = palette.fit(image, 2)
    assert book.tolist() == [[13], [202]]
    assert palette.encode(image, book).tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_one_colour_is_the_mean() -> None:
    image = noise(40, 30, 3)
    mean = image.reshape(-1, 3).astype(np.float64).mean(0)
    assert np.abs(palette.fit(image, 1)[0] - mean).max() <= 0.501


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colors", [2, 17, 256])
def test_codes_are_those_of_brute_force(channels: int, colors: int) -> None:
    image, book = noise(31, 17, channels, seed=1), noise(colors, channels, seed=2)
    distance = np.square(image[:, :, None].astype(int) - book.astype(int)).sum(-1)
    assert np.array_equal(palette.encode(image, book), distance.argmin(-1))  # ties: the first


@pytest.mark.slow
@pytest.mark.parametrize("colors", [4, 16, 64])
def test_error_is_near_scikit_learns_best_of_three(photo: np.ndarray, colors: int) -> None:
    book = palette.fit(photo, colors)
    ours = mse(photo, palette.decode(palette.encode(photo, book), book))
    pixels = photo.reshape(-1, 3).astype(np.float64)
    theirs = KMeans(colors, n_init=3, random_state=0).fit(pixels).inertia_ / pixels.size
    assert ours <= 1.05 * theirs + 1 / 12  # rounding adds a twelfth


@pytest.mark.parametrize("colors", [16, 64, 256])
def test_is_far_better_than_median_cut(photo: np.ndarray, colors: int) -> None:
    cut = Image.fromarray(photo).quantize(colors, Image.Quantize.MEDIANCUT, dither=0)
    book = palette.fit(photo, colors)
    assert len(book) <= colors
    ours = mse(photo, palette.decode(palette.encode(photo, book), book))
    assert ours < mse(photo, np.asarray(cut.convert("RGB"))) / 10**0.2  # 2 dB


def test_dithering_keeps_areas_and_costs_single_pixels(photo: np.ndarray) -> None:
    book = palette.fit(photo, 16)
    plain, dithered = (
        palette.decode(palette.encode(photo, book, dither=on), book) for on in (False, True)
    )
    assert mse(photo, dithered) > mse(photo, plain)

    def areas(image: np.ndarray) -> np.ndarray:
        return image.astype(float).reshape(16, 8, 16, 8, 3).mean((1, 3))

    assert mse(areas(photo), areas(dithered)) < 0.75 * mse(areas(photo), areas(plain))


def test_one_seed_gives_one_palette(photo: np.ndarray) -> None:
    assert np.array_equal(palette.fit(photo, 32), palette.fit(photo, 32, seed=0))
    assert not np.array_equal(palette.fit(photo, 32), palette.fit(photo, 32, seed=1))


def test_hidden_colours_need_no_palette() -> None:
    image = noise(8, 8, 4)
    image[..., 3] = 0
    assert palette.fit(image, 256).tolist() == [[0, 0, 0, 0]]
    image[0, 0] = (10, 20, 30, 255)
    book = palette.fit(image, 2)
    assert book.tolist() == [[0, 0, 0, 0], [10, 20, 30, 255]]
    codes = palette.encode(image, book)
    assert codes.sum() == codes[0, 0] == 1


def test_faint_colours_count_less() -> None:
    # Two reds and two blues; the blues differ as much, but are nearly transparent.
    image = np.array(
        [[[255, 0, 0, 255], [155, 0, 0, 255], [0, 0, 255, 8], [0, 0, 155, 8]]], np.uint8
    )
    book = palette.fit(image, 3)
    assert book[:, 3].tolist() == [8, 255, 255]
    assert palette.encode(image, book).tolist() == [[2, 1, 0, 0]]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("colors", [1, 2, 3, 16, 17, 256])
def test_png_holds_codes_and_palette(channels: int, colors: int) -> None:
    import io

    book = np.unique(noise(colors, channels, seed=3), axis=0)
    codes = noise(9, 13, seed=4).astype(int) % len(book)
    with Image.open(io.BytesIO(palette.png_bytes(codes, book))) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "P", (13, 9))
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        shown = np.asarray(picture.convert(mode)).reshape(9, 13, channels)
    assert np.array_equal(shown, palette.decode(codes, book))


def test_png_uses_few_bits() -> None:
    codes = noise(64, 64) % np.uint8(2)
    content = palette.png_bytes(codes, np.array([[0, 0, 0, 0], [9, 9, 9, 255]], np.uint8))
    assert content[24] == 1  # bit depth, after signature, length, IHDR, width and height


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros((2, 0), np.uint8),
        "photo.png",
        None,
    ],
    ids=str,
)
def test_refuses_what_is_no_image(image: object) -> None:
    with pytest.raises(ShapeError, match="image: expected"):
        palette.fit(image, 4)
    with pytest.raises(ShapeError, match="image: expected"):
        palette.encode(image, np.zeros((1, 3), np.uint8))


@pytest.mark.parametrize("colors", [0, -1, 257, 2.5, True, "16", None])
def test_refuses_other_counts(colors: object) -> None:
    with pytest.raises(OptionError, match=r"colors: expected an integer in \[1, 256\]"):
        palette.fit(noise(4, 4, 3), colors)


def test_refuses_codes_and_palettes_that_do_not_fit() -> None:
    image, book = noise(4, 4, 3), noise(5, 3)
    with pytest.raises(ShapeError, match="palette: expected 3 channels"):
        palette.encode(image, noise(5, 4))
    with pytest.raises(ShapeError, match="palette: expected a uint8 array"):
        palette.encode(image, book.astype(np.int64))
    with pytest.raises(OptionError, match="at most 256 colours, got 257"):
        palette.encode(image, noise(257, 3))
    for codes in ([[5]], [[-1]]):
        with pytest.raises(CodeError, match=r"codes: expected values in \[0, 4\]"):
            palette.decode(codes, book)
    for codes in ([0], [[0.0]]):
        with pytest.raises(ShapeError, match="codes: expected integers"):
            palette.decode(codes, book)
    with pytest.raises(ShapeError, match="at least one pixel"):
        palette.png_bytes(np.zeros((0, 3), np.int64), book)
