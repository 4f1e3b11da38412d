"""Images: two axes, channels of 8 bits or in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from vocabula.errors import DataError, plural
from vocabula.functional._checks import check_tensor
from vocabula.registry import component
from vocabula.signals.base import Signal

TOLERANCE = 1e-6


@component("signal", "image")
class Image(Signal):
    """Images (B, channels, H, W), uint8 in 0...255 or floating point in [0, 1].

    Args:
        channels: 1 for grey, 3 for colour, or any other number.
    """

    axes: ClassVar[tuple[str, ...]] = ("height", "width")
    unit: ClassVar[str] = "pixel"
    plural: ClassVar[str] = "images"
    depth: ClassVar[int | None] = 8
    centre: ClassVar[float] = 0.5

    def __init__(self, channels: Annotated[int, Ge(1)] = 3) -> None:
        self.channels = channels

    def units(self, extent: Sequence[int]) -> float:
        """Pixels: height times width."""
        return math.prod(extent)

    def shape_in_words(self) -> str:
        """``(B, 3, H, W), uint8 or in [0, 1]``."""
        return f"(B, {self.channels}, H, W), uint8 or in [0, 1]"

    def refuse(self, x: Tensor) -> None:
        """Refuse another shape, dtype or number of channels, values outside [0, 1] or not finite.

        Raises:
            DataError: what is wrong, and what to do.
        """
        check_tensor("images", x, DataError)
        if x.ndim != 4:
            raise DataError(
                f"images: expected (B, {self.channels}, H, W), got shape {tuple(x.shape)}; "
                f"{_missing_axis(x, self.channels)}"
            )
        if x.shape[1] != self.channels:
            advice = "convert the images or build the model for their channels"
            if x.shape[3] == self.channels:
                advice = "move the channels forward with x.permute(0, 3, 1, 2)"
            raise DataError(
                f"images: expected {plural(self.channels, 'channel')}, got {x.shape[1]} in shape "
                f"{tuple(x.shape)}; {advice}"
            )
        if x.shape[2] < 1 or x.shape[3] < 1:
            raise DataError(
                f"images: expected at least 1 x 1 pixels, got {tuple(x.shape)}; drop them"
            )
        if x.dtype == torch.uint8:
            return
        if not x.is_floating_point():
            raise DataError(
                f"images: expected uint8 or floating point, got {x.dtype}; convert to uint8"
            )
        if not torch.compiler.is_compiling() and x.numel():
            _check_range(x)

    def to_values(self, x: Tensor) -> Tensor:
        """Checked images in floating point: uint8 divided by 255."""
        if x.dtype == torch.uint8:
            return x.float() / 255
        return x if x.dtype == torch.float64 else x.float()

    def random(self, batch: int, extent: Sequence[int]) -> Tensor:
        """Random bytes (batch, channels, H, W)."""
        return torch.randint(256, (batch, self.channels, *extent), dtype=torch.uint8)

    def to_stored(self, values: Tensor) -> Tensor:
        """Images in [0, 1] as the nearest uint8."""
        return values.float().clamp(0, 1).mul_(255).round_().byte()


def _missing_axis(x: Tensor, channels: int) -> str:
    """Advice for turning what looks like one image into a batch."""
    if x.ndim == 3 and x.shape[0] == channels:
        return "add the batch dimension: x[None]"
    if x.ndim == 3 and x.shape[2] == channels:
        return "move the channels forward and add the batch dimension: x.permute(2, 0, 1)[None]"
    return "add the missing batch or channel dimension"


def _check_range(x: Tensor) -> None:
    """One pass over the data: a NaN makes both extremes NaN."""
    low, high = (float(extreme) for extreme in torch.aminmax(x.detach()))
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return
    if low - low != 0 or high - high != 0:
        raise DataError(
            "images: expected finite values, got NaN or infinity; "
            "drop or repair the images that contain them"
        )
    advice = "divide by 255 or pass uint8" if low >= 0 and high <= 255 else "rescale to [0, 1]"
    raise DataError(f"images: expected values in [0, 1], got {low:g} to {high:g}; {advice}")
