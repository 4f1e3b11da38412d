"""Checks of images, codebooks and codes that the functions of this package share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.levels import array_of


def as_image(image: ArrayLike, channels: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image as a contiguous (H, W, C) array.

    Args:
        image: (H, W) or (H, W, C), uint8.
        channels: what C may be.

    Raises:
        ShapeError: it is not an image, has no pixels, or has other channels.
    """
    pixels = np.asarray(image)
    shape = pixels.shape
    if pixels.dtype != np.uint8:
        raise ShapeError(
            f"image: expected a uint8 array, got {pixels.dtype}; scale values to 0 to 255 and "
            "convert with .astype(np.uint8)"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in channels:
        counts = " or ".join(map(str, channels))
        raise ShapeError(
            f"image: expected shape (H, W) or (H, W, C) with {counts} channels, got {shape}; "
            "give one image, channels last"
        )
    if pixels.size == 0:
        raise ShapeError(f"image: expected at least one pixel, got shape {shape}; check its source")
    return np.ascontiguousarray(pixels)


def as_codebook(name: str, codebook: ArrayLike, dimensions: int) -> NDArray[np.uint8]:
    """The codebook as a contiguous array with a number of dimensions, none of them zero.

    Raises:
        ShapeError: it is not uint8, has other dimensions or is empty.
    """
    book = np.asarray(codebook)
    if book.dtype != np.uint8 or book.ndim != dimensions or book.size == 0:
        raise ShapeError(
            f"{name}: expected a uint8 array of {dimensions} dimensions, none of them 0, got "
            f"{book.dtype} of shape {book.shape}; take what fit returned"
        )
    return np.ascontiguousarray(book)


def as_codes(codes: ArrayLike, size: int) -> NDArray[Any]:
    """The codes as an (h, w) array of integers in [0, size).

    Raises:
        ShapeError: they are not integers or have other dimensions.
        CodeError: one is out of range.
    """
    grid = array_of(codes)
    if grid.ndim != 2 or grid.dtype.kind not in "iu":
        raise ShapeError(
            f"codes: expected integers of shape (h, w), got {grid.dtype} of shape {grid.shape}; "
            "take what encode returned"
        )
    if grid.size > 0 and not (grid.min() >= 0 and grid.max() < size):
        raise CodeError(
            f"codes: expected values in [0, {size - 1}], got {grid.min()} to {grid.max()}; "
            "use codes of the same codebook"
        )
    return grid


def as_count(name: str, count: int, most: int) -> int:
    """The count as an int in [1, most].

    Raises:
        OptionError: it is not a whole number in that range.
    """
    try:
        number = operator.index(count)
    except TypeError:
        number = 0
    if isinstance(count, bool) or not 1 <= number <= most:
        raise OptionError(
            f"{name}: expected an integer in [1, {most}], got {count!r}; choose another size"
        )
    return number
