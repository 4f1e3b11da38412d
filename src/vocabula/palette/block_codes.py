"""Images as codes of their blocks, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vocabula.errors import ShapeError, picture_size, plural
from vocabula.functional import nearest_codeword
from vocabula.palette._checks import as_codebook, as_codes, as_image
from vocabula.palette.blocks import CHANNELS, blocks_of


def encode_blocks(image: ArrayLike, codebook: ArrayLike) -> NDArray[np.int64]:
    """Return the nearest codeword of each block.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8.
        codebook: (K, block height, block width, C) uint8 of the same channels.

    Returns:
        (h, w) int64 in [0, K), h = ceil(H / block height) and w = ceil(W / block width); the first
        of equally near codewords.

    Raises:
        ShapeError: an array is not as described, or the channels differ.

    Example:
        >>> encode_blocks(np.zeros((5, 7), np.uint8), np.zeros((1, 4, 4, 1), np.uint8)).tolist()
        [[0, 0], [0, 0]]
    """
    pixels = as_image(image, CHANNELS)
    book = as_codebook("codebook", codebook, 4)
    if book.shape[3] != pixels.shape[2]:
        raise ShapeError(
            f"codebook: expected {plural(pixels.shape[2], 'channel')} as the image has, got "
            f"{book.shape[3]}; fit it to an image of the same channels"
        )
    rows, shape = blocks_of(pixels, book.shape[1], book.shape[2])
    vectors, table = (
        torch.from_numpy(x.astype(np.float32)) for x in (rows, book.reshape(len(book), -1))
    )
    return nearest_codeword(vectors, table).numpy().reshape(shape)


def decode_blocks(
    codes: ArrayLike, codebook: ArrayLike, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the image of codes: their codewords side by side, cut to the image's size.

    Args:
        codes: (h, w) integers in [0, K).
        codebook: (K, block height, block width, C) uint8.
        size: (H, W) of the image, with the h and w of `encode_blocks`.

    Returns:
        (H, W, C) uint8.

    Raises:
        ShapeError: an array has another shape or dtype, or the codes do not fit this size.
        CodeError: a code is out of range.

    Example:
        >>> codebook = np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1)
        >>> decode_blocks([[1, 0]], codebook, (1, 2))[:, :, 0].tolist()
        [[1, 0]]
    """
    book = as_codebook("codebook", codebook, 4)
    grid = as_codes(codes, len(book))
    _, height, width, channels = book.shape
    wanted = (-(-size[0] // height), -(-size[1] // width))
    if min(size) < 1 or grid.shape != wanted:
        raise ShapeError(
            f"codes: expected shape {wanted} for {picture_size(*size)} pixels in blocks of "
            f"{width} x {height}, got {grid.shape}; give the size of the image that was encoded"
        )
    rows, columns = wanted
    whole = book[grid].swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    return np.ascontiguousarray(whole[: size[0], : size[1]])
