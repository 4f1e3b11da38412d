"""Error diffusion over a palette in whole numbers, so that the codes are the same everywhere."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import native

__all__ = ["DITHER_MOST", "DITHER_UNIT", "floyd_steinberg"]

DITHER_UNIT = 64
"""Parts of one level in which errors are carried; squared distances of 4 channels fit 32 bits."""
DITHER_MOST = 255 * DITHER_UNIT
"""The largest value of a channel, in those parts."""


def _diffuse(image: NDArray[np.int32], palette: NDArray[np.int32]) -> NDArray[np.int64]:
    """Diffuse along fronts x + 2y = t, whose pixels do not depend on each other."""
    height, width, channels = image.shape
    error = np.zeros((height + 1, width + 2, channels), np.int32)
    codes = np.empty((height, width), np.int64)
    for front in range(width + 2 * (height - 1)):
        y = np.arange(max(0, (front - width + 2) // 2), min(height - 1, front // 2) + 1)
        x = front - 2 * y
        values = np.clip(image[y, x] + error[y, x + 1], 0, DITHER_MOST)
        distance = np.square(values[:, None] - palette).sum(-1)
        found = codes[y, x] = distance.argmin(-1)  # the first of equal ones
        left_over = values - palette[found]
        right, left, down = (7 * left_over) >> 4, (3 * left_over) >> 4, (5 * left_over) >> 4
        error[y, x + 2] += right
        error[y + 1, x] += left
        error[y + 1, x + 1] += down
        error[y + 1, x + 2] += left_over - right - left - down
    return codes


@torch.library.custom_op(
    "vocabula::floyd_steinberg",
    mutates_args=(),
    schema="(Tensor image, Tensor palette) -> Tensor",
)
def _floyd_steinberg(image: Tensor, palette: Tensor) -> Tensor:
    for name, values in (("image", image), ("palette", palette)):
        low, high = (int(bound) for bound in values.aminmax())
        if low < 0 or high > DITHER_MOST:
            raise OptionError(
                f"{name}: expected values in [0, {DITHER_MOST}], got {low} to {high}; "
                "multiply levels of 0 to 255 by DITHER_UNIT"
            )
    if native.ready() and image.device.type == "cpu":
        return native.floyd_steinberg(image, palette, DITHER_MOST)
    return torch.from_numpy(_diffuse(image.cpu().numpy(), palette.cpu().numpy())).to(image.device)


@_floyd_steinberg.register_fake
def _(image: Tensor, palette: Tensor) -> Tensor:
    return image.new_empty(image.shape[:2], dtype=torch.int64)


def floyd_steinberg(image: Tensor, palette: Tensor) -> Tensor:
    """Return codes whose local mean follows the image: neighbours make up for a pixel's error.

    Row by row from the left, a pixel plus the errors that reached it, clamped to [0, 255], gets the
    nearest colour, ties to the lowest index; the remaining error e is passed on:

                   pixel    7/16 e
        3/16 e    5/16 e    1/16 e

    and is lost beyond the border. All numbers are whole, in 64ths of a level: shares are rounded
    down and the last takes the rest, so that no error is lost on the way, and the codes are the
    same on every processor.

    Args:
        image: (H, W, C) int32 in [0, DITHER_MOST]: levels 0 to 255 times DITHER_UNIT; C is 1 to 4.
        palette: (K, C) int32 in the same unit.

    Returns:
        (H, W) int64 in [0, K).

    Raises:
        ShapeError: shapes, dtypes or devices do not fit, or H, W or K is 0.
        OptionError: a value is out of range.

    Example:
        >>> grey = torch.full((1, 4, 1), 128 * DITHER_UNIT, dtype=torch.int32)
        >>> floyd_steinberg(grey, torch.tensor([[0], [DITHER_MOST]], dtype=torch.int32))
        tensor([[1, 0, 1, 0]])

    Source:
        Floyd, Steinberg 1976, "An adaptive algorithm for spatial greyscale".
    """
    if image.dtype != torch.int32 or palette.dtype != torch.int32:
        raise ShapeError(
            f"image and palette: expected torch.int32, got {image.dtype} and {palette.dtype}; "
            "multiply levels by DITHER_UNIT and convert with .int()"
        )
    fits = image.dim() == 3 and palette.dim() == 2 and image.shape[2] == palette.shape[1]
    if not fits or image.shape[2] > 4 or 0 in (*image.shape, *palette.shape):
        raise ShapeError(
            "image and palette: expected shapes (H, W, C) and (K, C), C up to 4 and none of them "
            f"0, got {tuple(image.shape)} and {tuple(palette.shape)}; give both the same channels"
        )
    if image.device != palette.device:
        raise ShapeError(
            f"palette: expected on {image.device}, got {palette.device}; move one with .to(device)"
        )
    return _floyd_steinberg(image, palette)
