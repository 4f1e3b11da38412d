"""Classic vector quantization: blocks of pixels, and a codebook stored with the image.

    image (H, W, C) ──pad, cut──▶ blocks (h w, bh bw C) ──nearest──▶ codes (h, w)
                                       k-means ▼                        │
                             codebook (K, bh, bw, C) uint8 ─────────────┴──▶ image

Codes and codebook are integers: a file with both needs no model and decodes the same anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocabula.errors import OptionError, ShapeError
from vocabula.palette._checks import as_count, as_image
from vocabula.palette.clustering import cluster, distinct

MAX_CODES = 65536
"""Blocks of a codebook at most: the index of a block is two bytes."""
MAX_SIDE = 64
"""Pixels of a block's side at most."""
ITERATIONS = 20
"""Steps of k-means."""

CHANNELS = (1, 3)


def fit_blocks(
    image: ArrayLike,
    codebook_size: int = 256,
    *,
    block: tuple[int, int] = (4, 4),
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Choose a codebook of blocks that lowers Σ |block - nearest codeword|², by k-means.

    An image with no more different blocks than `codebook_size` keeps them all, exactly. The blocks
    at the right and lower border are padded with copies of the last column and row.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8: grey or RGB.
        codebook_size: 1 to 65536.
        block: its height and width in pixels, 1 to 64 each.
        iterations: >= 1 steps of k-means.
        seed: of its start.

    Returns:
        (K, block height, block width, C) uint8, K <= codebook_size, different codewords in
        lexicographic order.

    Raises:
        ShapeError: `image` is not such an array or has no pixels.
        OptionError: a number is out of range.

    Example:
        >>> fit_blocks(np.zeros((5, 7), np.uint8), 16).shape
        (1, 4, 4, 1)

    Source:
        Linde, Buzo, Gray 1980, "An algorithm for vector quantizer design", started by k-means++
        instead of splitting.
    """
    images = [as_image(image, CHANNELS)]
    return fit_shared_blocks(images, codebook_size, block=block, iterations=iterations, seed=seed)


def as_block_images(images: Sequence[ArrayLike]) -> list[NDArray[np.uint8]]:
    """Images as (H, W, C) arrays of the same channels, at least one.

    Raises:
        ShapeError: one is not a grey or RGB image of uint8, or the channels differ.
        OptionError: there is none.
    """
    arrays = [as_image(image, CHANNELS) for image in images]
    if not arrays:
        raise OptionError("images: expected at least one, got none; give one")
    counts = sorted({image.shape[2] for image in arrays})
    if len(counts) > 1:
        raise ShapeError(
            f"images: expected the same channels in all, got {counts}; convert grey ones to RGB"
        )
    return arrays


def fit_shared_blocks(
    images: Sequence[NDArray[np.uint8]],
    codebook_size: int = 256,
    *,
    block: tuple[int, int] = (4, 4),
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Choose one codebook for the blocks of several images, as in `fit_blocks`.

    Args:
        images: images from `as_block_images`.
        codebook_size: 1 to 65536.
        block: its height and width in pixels, 1 to 64 each.
        iterations: >= 1 steps of k-means.
        seed: of its start.
    """
    size = as_count("codebook_size", codebook_size, MAX_CODES)
    steps = as_count("iterations", iterations, 10**6)
    height, width = _sides(block)
    found = distinct(np.concatenate([blocks_of(image, height, width)[0] for image in images]))
    book = cluster(found.rows, found.counts, size, iterations=steps, seed=seed)
    return book.reshape(len(book), height, width, images[0].shape[2])


def _sides(block: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = block
    except (TypeError, ValueError):
        raise OptionError(
            f"block: expected its height and width in pixels, got {block!r}; give block=(4, 4)"
        ) from None
    return as_count("block", height, MAX_SIDE), as_count("block", width, MAX_SIDE)


def blocks_of(
    pixels: NDArray[np.uint8], height: int, width: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The blocks (h w, bh bw C) of an image in raster order, and h and w."""
    rows, columns = -(-pixels.shape[0] // height), -(-pixels.shape[1] // width)
    below, right = rows * height - pixels.shape[0], columns * width - pixels.shape[1]
    full = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
    blocks = full.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
    return blocks.reshape(rows * columns, -1), (rows, columns)
