"""The mask of the kept part of an image, from words or from a picture."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from vocabula.data.image_problems import BrokenImageError, picture_error
from vocabula.data.pixels import decode
from vocabula.errors import DataError, OptionError, picture_size

FORMS = "top:F, bottom:F, left:F or right:F with 0 < F < 1, or box:LEFT,TOP,RIGHT,BOTTOM in pixels"


def keep_mask(words: str, size: tuple[int, int]) -> Tensor:
    """A mask (H, W), true where a pixel is kept, from words such as ``top:0.5``.

    Args:
        words: ``top:F``, ``bottom:F``, ``left:F``, ``right:F``: the fraction F of the image on
            that side is kept, rounded to whole pixels; or ``box:x0,y0,x1,y1``: the pixels with x0
            <= x < x1 and y0 <= y < y1 are kept.
        size: (H, W) of the image.

    Raises:
        OptionError: the words are unknown, or a box does not lie in the image.
    """
    side, _, amount = words.strip().partition(":")
    if side == "box":
        return _box(words, amount, size)
    try:
        fraction = float(amount)
    except ValueError:
        fraction = 0.0
    if side not in ("top", "bottom", "left", "right") or not 0 < fraction < 1:
        raise OptionError(f"--keep: expected {FORMS}, got {words!r}; try top:0.5")
    keep = torch.zeros(size, dtype=torch.bool)
    upright = side in ("top", "bottom")
    count = round(fraction * size[0 if upright else 1])
    rows = keep if upright else keep.T
    rows[slice(None, count) if side in ("top", "left") else slice(len(rows) - count, None)] = True
    return keep


def mask_picture(path: Path, size: tuple[int, int]) -> Tensor:
    """A mask (H, W), true where a pixel is kept: where a mask picture is black.

    White pixels, or all that are lighter than middle grey, are drawn anew.

    Args:
        path: a picture of the image's size.
        size: (H, W) of the image.

    Raises:
        DataError: it cannot be read, or has another size.
    """
    try:
        pixels = torch.from_numpy(decode(path, 1).copy())[:, :, 0]
    except BrokenImageError as reason:
        raise picture_error(path, reason, "none ({}); check it") from None
    if tuple(pixels.shape) != size:
        raise DataError(
            f"{path}: expected a mask of the image's {picture_size(*size)} pixels, got "
            f"{picture_size(*pixels.shape)}; resize it"
        )
    return pixels < 128


def _box(words: str, amount: str, size: tuple[int, int]) -> Tensor:
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", amount)
    if numbers is None:
        raise OptionError(f"--keep: expected {FORMS}, got {words!r}; try top:0.5")
    left, top, right, bottom = (int(number) for number in numbers.groups())
    if not (left < right <= size[1] and top < bottom <= size[0]):
        raise OptionError(
            f"--keep: expected a box within {picture_size(*size)} pixels (width x height), left "
            f"below right and top below bottom, got {words!r}; change it"
        )
    keep = torch.zeros(size, dtype=torch.bool)
    keep[top:bottom, left:right] = True
    return keep
