"""Images as PNG files: one image each, or many in a grid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.files import new_file

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name for what each number of channels is."""
GAP = 2
"""White pixels between the images of a grid."""


def check_channels(channels: int, verb: str) -> None:
    """Refuse a tokenizer whose images PNG cannot hold.

    Args:
        channels: channels of the tokenizer's images.
        verb: the beginning of the message.

    Raises:
        OptionError: there are not 1, 3 or 4 channels.
    """
    if channels not in MODES:
        raise OptionError(
            f"{verb}: expected a tokenizer of 1, 3 or 4 channels for PNG files, got "
            f"{channels}; decode in Python with vocabula.load(path).decode(codes)"
        )


def to_bytes(images: Tensor) -> np.ndarray:
    """Images (B, C, H, W) in [0, 1] as uint8 (B, H, W, C)."""
    x = images.float().clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(x.permute(0, 2, 3, 1).cpu().numpy())


def picture(pixels: np.ndarray) -> Image.Image:
    """An array (H, W, C), uint8, of 1, 3 or 4 channels as Pillow's picture."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def save_png(pixels: np.ndarray, path: Path, *, overwrite: bool) -> None:
    """Write an array (H, W, C), uint8, as a PNG file, complete or not at all.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    with new_file(path, overwrite=overwrite) as draft:
        picture(pixels).save(draft, format="PNG")


def grid(pixels: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, H, W, C) in rows as one array, white between them.

    Args:
        pixels: uint8.
        columns: images in a row; None makes the grid about square.
    """
    count, height, width, channels = pixels.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8
    )
    for i, image in enumerate(pixels):
        row, column = divmod(i, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet
