"""Block vector quantization: codes and codebook give the image, of any size."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from sklearn.cluster import KMeans

from vocabula import palette
from vocabula.errors import CodeError, OptionError, ShapeError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_tiny_image_by_hand() -> None:
    image = np.array([[1, 2, 1, 2, 9], [3, 4, 3, 4, 8]], np.uint8)
    # 2 x 2 blocks: twice (1 2 3 4), and (9 9 8 8), whose last column is a copy
    book = palette.fit_blocks(image, 4, block=(2, 2))
    assert book[..., 0].tolist() == [[[1, 2], [3, 4]], [[9, 9], [8, 8]]]
    codes = palette.encode_blocks(image, book)
    assert codes.dtype == np.int64
    assert codes.tolist() == [[0, 0, 1]]
    assert palette.decode_blocks(codes, book, (2, 5))[..., 0].tolist() == image.tolist()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 8), (17, 12)])
@pytest.mark.parametrize("block", [(1, 1), (4, 4), (2, 5), (8, 3)])
def test_enough_codewords_are_exact(
    channels: int, size: tuple[int, int], block: tuple[int, int]
) -> None:
    image = noise(*size, channels)
    book = palette.fit_blocks(image, 1000, block=block)
    codes = palette.encode_blocks(image, book)
    assert book.dtype == np.uint8
    assert book.shape[1:] == (*block, channels)
    assert codes.shape == (-(-size[0] // block[0]), -(-size[1] // block[1]))
    assert np.array_equal(palette.decode_blocks(codes, book, size), image)


def test_codes_are_those_of_brute_force() -> None:
    image, book = noise(23, 30, 3), noise(40, 4, 4, 3, seed=1)
    codes = palette.encode_blocks(image, book)
    padded = np.pad(image, ((0, 1), (0, 2), (0, 0)), mode="edge").astype(int)
    for row in range(6):
        for column in range(8):
            cut = padded[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            far = np.square(cut - book.astype(int)).sum((1, 2, 3))
            assert codes[row, column] == far.argmin()


def test_error_is_near_scikit_learns_k_means() -> None:
    image = np.ascontiguousarray(data.camera()[::4, ::4])
    book = palette.fit_blocks(image, 32)
    shown = palette.decode_blocks(palette.encode_blocks(image, book), book, image.shape)
    ours = np.square(image.astype(float) - shown[..., 0]).sum()
    blocks = image.reshape(32, 4, 32, 4).swapaxes(1, 2).reshape(-1, 16).astype(float)
    theirs = KMeans(32, n_init=3, random_state=0).fit(blocks).inertia_
    assert ours <= 1.05 * theirs + image.size / 12


def test_one_seed_gives_one_codebook() -> None:
    image = noise(40, 40)
    books = [palette.fit_blocks(image, 16, seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(books[0], books[1])
    assert not np.array_equal(books[0], books[2])


@pytest.mark.parametrize("shape", [(2, 2, 4), (0, 2), (2, 2, 3, 1)])
def test_refuses_other_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="image: expected"):
        palette.fit_blocks(np.zeros(shape, np.uint8))
    with pytest.raises(ShapeError, match="image: expected"):
        palette.encode_blocks(np.zeros(shape, np.uint8), noise(1, 4, 4, 3))


def test_refuses_numbers_out_of_range() -> None:
    image = noise(8, 8)
    for size in (0, 65537, 1.5):
        with pytest.raises(OptionError, match="codebook_size: expected"):
            palette.fit_blocks(image, size)
    for block in ((0, 4), (4, 65), 4, (4, 4, 3)):
        with pytest.raises(OptionError, match="block: expected"):
            palette.fit_blocks(image, block=block)


def test_refuses_codes_and_codebooks_that_do_not_fit() -> None:
    book = noise(3, 4, 4, 3)
    with pytest.raises(ShapeError, match="codebook: expected 1 channel "):
        palette.encode_blocks(noise(8, 8), book)
    with pytest.raises(ShapeError, match="codebook: expected a uint8 array"):
        palette.encode_blocks(noise(8, 8, 3), book[0])
    with pytest.raises(CodeError, match=r"codes: expected values in \[0, 2\], got 0 to 3"):
        palette.decode_blocks([[0, 3]], book, (4, 8))
    for size in ((4, 9), (5, 8), (0, 8), (4, -1)):
        with pytest.raises(ShapeError, match="codes: expected shape"):
            palette.decode_blocks([[0, 1]], book, size)
