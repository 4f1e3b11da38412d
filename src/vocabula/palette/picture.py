"""Palettes as indexed pictures: PNG of mode P, its transparency in the palette."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from vocabula.errors import ShapeError
from vocabula.palette._checks import as_codes
from vocabula.palette.colors import as_palette

_STRATEGIES = (0, 1, 3)
"""zlib's: the default, for filtered data, and run lengths. With 16 colours, two pixels a byte, the
last is 2 to 4 % smaller on photographs, with more colours the first is, by up to 20 %."""


def indexed_picture(codes: ArrayLike, palette: ArrayLike) -> Image.Image:
    """Return codes and palette as Pillow's picture of mode P.

    Args:
        codes: (H, W) integers in [0, K), at least one.
        palette: (K, C) uint8: grey, RGB or RGBA.

    Raises:
        ShapeError: an array has another shape or dtype.
        CodeError: a code is out of range.
    """
    book = as_palette(palette)
    grid = as_codes(codes, len(book)).astype(np.uint8)
    if grid.size == 0 or book.shape[1] not in (1, 3, 4):
        raise ShapeError(
            "codes and palette: expected at least one pixel and 1, 3 or 4 channels, got "
            f"{grid.shape} and {book.shape}; take what encode and fit returned"
        )
    picture = Image.fromarray(grid)
    if book.shape[1] == 1:
        book = book.repeat(3, axis=1)
    picture.putpalette(book.tobytes(), "RGBA" if book.shape[1] == 4 else "RGB")
    return picture


def png_bytes(codes: ArrayLike, palette: ArrayLike, *, profile: bytes = b"") -> bytes:
    """Return a well-compressed indexed PNG file with 1, 2, 4 or 8 bits per pixel, as needed.

    Its colours are sorted by brightness, independently of `palette`: with 16 colours, two pixels
    per byte, photographs take a tenth fewer bytes than with the most frequent colours first.

    Args:
        codes: (H, W) integers in [0, K), at least one.
        palette: (K, C) uint8: grey, RGB or RGBA.
        profile: colour profile (ICC) for RGB, stored in the file; none if empty.

    Raises:
        ShapeError: an array has another shape or dtype.
        CodeError: a code is out of range.
    """
    book = as_palette(palette)
    order = np.argsort(book[:, :3].sum(-1, dtype=np.int64), kind="stable")
    places = np.argsort(order)[as_codes(codes, len(book))]
    picture, size = indexed_picture(places, book[order]), len(book)
    # Pillow counts the four bytes of an RGBA colour as more than one colour.
    bits = {"bits": 1 if size <= 2 else 2 if size <= 4 else 4} if size <= 16 else {}
    options = {"compress_level": 9, "icc_profile": profile or None, **bits}
    files = []
    for strategy in _STRATEGIES:
        file = io.BytesIO()
        picture.save(file, format="PNG", compress_type=strategy, **options)
        files.append(file.getvalue())
    return min(files, key=len)
