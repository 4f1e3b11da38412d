"""Padding signals to whole codes and cropping them, along any number of axes, even none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


def padded(x: Tensor, strides: Sequence[int]) -> Tensor:
    """Signals (B, C, *extent), continued by their last element to multiples of `strides`."""
    extent = x.shape[2:]
    if _is_traced(*extent):  # then a branch on the missing part would fix the size
        for axis, (size, stride) in enumerate(zip(extent, strides, strict=True), start=2):
            x = x.index_select(axis, _continued(size, stride, x.device))
        return x
    missing = [-size % stride for size, stride in zip(extent, strides, strict=True)]
    if not any(missing):
        return x
    both = [amount for after in reversed(missing) for amount in (0, after)]
    return pad(x, both, mode="replicate")


def cropped(x: Tensor, extent: Sequence[int]) -> Tensor:
    """The first elements along each axis, `extent`, of signals (B, C, at least *extent)."""
    if _is_traced(*extent):  # then a slice would need to know that the sides suffice
        for axis, size in enumerate(extent, start=2):
            x = x.index_select(axis, torch.arange(size, device=x.device))
        return x
    kept: tuple[Any, ...] = (..., *(slice(size) for size in extent))
    return x[kept]


def over_extent(x: Tensor) -> Tensor:
    """The sums (B,) of x (B, *extent); x itself where there is no axis."""
    axes = tuple(range(1, x.ndim))
    return x.sum(axes) if axes else x


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
