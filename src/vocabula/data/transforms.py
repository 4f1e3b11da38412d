"""Random crops and flips, driven by given numbers so that they can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.errors import DataError, picture_size


def crop_window(height: int, width: int, crop: int, draw: NDArray[np.float32]) -> tuple[int, int]:
    """The top left corner of a crop, each possible corner equally likely.

    Args:
        height: of the image, at least `crop`.
        width: of the image, at least `crop`.
        crop: side of the square, in pixels.
        draw: (2,) numbers in [0, 1).
    """
    top = int(float(draw[0]) * (height - crop + 1))
    left = int(float(draw[1]) * (width - crop + 1))
    return top, left


def crop_image(
    image: NDArray[Any], crop: int, draw: NDArray[np.float32], *, pad: bool, name: str
) -> NDArray[Any]:
    """A random (crop, crop, C) square of an (H, W, C) image.

    Args:
        image: (H, W, C).
        crop: side of the square, in pixels.
        draw: (2,) numbers in [0, 1).
        pad: mirror images that are too small at their borders; otherwise they are refused.
        name: what messages call the image.

    Raises:
        DataError: the image is smaller than the crop and `pad` is off.
    """
    height, width = image.shape[:2]
    if height < crop or width < crop:
        if not pad:
            raise too_small(name, height, width, crop)
        image = pad_image(image, crop)
        height, width = image.shape[:2]
    top, left = crop_window(height, width, crop, draw)
    return image[top : top + crop, left : left + crop]


def pad_image(image: NDArray[Any], size: int) -> NDArray[Any]:
    """Mirror an (H, W, C) image at its borders, on both sides, to at least (size, size, C)."""
    margins = []
    for have in image.shape[:2]:
        missing = max(0, size - have)
        margins.append((missing // 2, missing - missing // 2))
    return np.pad(image, (*margins, (0, 0)), mode="symmetric")


def flip_images(images: NDArray[Any], draws: NDArray[np.float32]) -> NDArray[Any]:
    """Mirror left to right the (B, H, W, C) images whose draw (B,) is below one half."""
    chosen = draws < 0.5
    flipped = images.copy()
    flipped[chosen] = images[chosen, :, ::-1]
    return flipped


def too_small(name: str, height: int, width: int, crop: int) -> DataError:
    """The error for an image that is smaller than the crop."""
    return DataError(
        f"{name}: expected images of at least {crop} x {crop} pixels, got "
        f"{picture_size(height, width)}; set data.crop={min(height, width)} or less, or "
        "data.pad=true"
    )
