"""The check at the door: what counts as a batch of images, and how it is told what is wrong."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from vocabula.errors import DataError, plural
from vocabula.functional._checks import check_tensor

TOLERANCE = 1e-6


def as_images(x: Tensor, channels: int) -> Tensor:
    """Images as floating point in [0, 1], checked.

    Args:
        x: (B, channels, H, W), uint8 in 0...255 or floating point in [0, 1].
        channels: the channels that the model takes.

    Returns:
        (B, channels, H, W) in float32, or float64 for float64 input.

    Raises:
        DataError: another shape, dtype or number of channels, values outside [0, 1] or not finite.
            Values are not checked while the model is compiled.
    """
    check_images(x, channels)
    return to_unit(x)


def to_unit(x: Tensor) -> Tensor:
    """Checked images in floating point: uint8 divided by 255."""
    if x.dtype == torch.uint8:
        return x.float() / 255
    return x if x.dtype == torch.float64 else x.float()


def to_uint8(images: Tensor) -> Tensor:
    """Images in [0, 1] as the nearest uint8."""
    return images.float().clamp(0, 1).mul_(255).round_().byte()


def check_images(x: Tensor, channels: int) -> None:
    """Refuse what `as_images` refuses.

    Args:
        x: (B, channels, H, W), uint8 or floating point.
        channels: the channels that the model takes.

    Raises:
        DataError: see `as_images`.
    """
    check_tensor("images", x, DataError)
    if x.ndim != 4:
        raise DataError(
            f"images: expected (B, {channels}, H, W), got shape {tuple(x.shape)}; "
            f"{_missing_axis(x, channels)}"
        )
    if x.shape[1] != channels:
        advice = "convert the images or build the model for their channels"
        if x.shape[3] == channels:
            advice = "move the channels forward with x.permute(0, 3, 1, 2)"
        raise DataError(
            f"images: expected {plural(channels, 'channel')}, got {x.shape[1]} in shape "
            f"{tuple(x.shape)}; {advice}"
        )
    if x.shape[2] < 1 or x.shape[3] < 1:
        raise DataError(f"images: expected at least 1 x 1 pixels, got {tuple(x.shape)}; drop them")
    if x.dtype == torch.uint8:
        return
    if not x.is_floating_point():
        raise DataError(
            f"images: expected uint8 or floating point, got {x.dtype}; convert to uint8"
        )
    if not torch.compiler.is_compiling() and x.numel():
        _check_range(x)


def _missing_axis(x: Tensor, channels: int) -> str:
    """How to make a batch of what looks like one image."""
    if x.ndim == 3 and x.shape[0] == channels:
        return "add the batch dimension: x[None]"
    if x.ndim == 3 and x.shape[2] == channels:
        return "move the channels forward and add the batch dimension: x.permute(2, 0, 1)[None]"
    return "add the missing batch or channel dimension"


def padded(x: Tensor, stride: int) -> Tensor:
    """Images (B, C, H, W), continued by last row and column to multiples of `stride`."""
    height, width = x.shape[-2:]
    if _is_traced(height, width):  # then a branch on what is missing would fix the size
        rows, columns = (_continued(side, stride, x.device) for side in (height, width))
        return x[:, :, rows][..., columns]
    right, below = -width % stride, -height % stride
    return pad(x, (0, right, 0, below), mode="replicate") if right or below else x


def cropped(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """The upper left H rows and W columns, `size`, of images (B, C, at least H, at least W)."""
    height, width = size
    if _is_traced(height, width):  # then a slice would have to know that the sides suffice
        rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
        return x[:, :, rows][..., columns]
    return x[..., :height, :width]


def _is_traced(*sizes: int) -> bool:
    """Whether a graph is being traced in which one of the sizes is a variable."""
    if not torch.compiler.is_compiling():
        return False
    number = torch.fx.experimental.symbolic_shapes.has_static_value
    return not all(number(size) for size in sizes)


def _continued(size: int, stride: int, device: torch.device) -> Tensor:
    """The positions 0, 1, ..., size - 1, the last repeated up to a multiple of `stride`."""
    whole = (size + stride - 1) // stride * stride
    return torch.arange(whole, device=device).clamp(max=size - 1)


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
