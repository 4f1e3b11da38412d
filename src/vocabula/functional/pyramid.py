"""Grids of another size: means of cells down, interpolation up, one matrix along each axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Matrix = Callable[[int, int], Tensor]
_SHARPNESS = -0.75  # of the cubic kernel, as in torch.nn.functional.interpolate


def pooling_matrix(size: int, to: int) -> Tensor:
    """The matrix (to, size) in float64 that takes `size` positions to the means of `to` cells.

    Cell i covers the positions from floor(i size / to) to ceil((i + 1) size / to); cells overlap
    where `to` does not divide `size`.

    Example:
        >>> pooling_matrix(3, 2)
        tensor([[0.5000, 0.5000, 0.0000],
                [0.0000, 0.5000, 0.5000]], dtype=torch.float64)

    Source: `torch.nn.functional.adaptive_avg_pool2d`, which is also interpolation by "area".
    """
    cell, position = _numbers(to)[:, None], _numbers(size)
    first = (cell * size / to).floor()
    after = ((cell + 1) * size / to).ceil()
    inside = (position >= first) & (position < after)
    return inside.double() / (after - first)


def linear_matrix(size: int, to: int) -> Tensor:
    """The matrix (to, size) in float64 that interpolates linearly between `size` positions.

    Positions are the centres of cells, and the first and the last value go on beyond them.

    Example:
        >>> linear_matrix(2, 4)
        tensor([[1.0000, 0.0000],
                [0.7500, 0.2500],
                [0.2500, 0.7500],
                [0.0000, 1.0000]], dtype=torch.float64)

    Source: `torch.nn.functional.interpolate`, "linear" with ``align_corners=False``.
    """
    place = _places(size, to).clamp(0, size - 1)
    return (1 - (place - _numbers(size)).abs()).clamp_min(0)


def cubic_matrix(size: int, to: int) -> Tensor:
    """The matrix (to, size) in float64 that interpolates by cubic convolution; sharper than linear.

    Example:
        >>> cubic_matrix(1, 3).round(decimals=9).tolist()
        [[1.0], [1.0], [1.0]]

    Source: Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", with a =
    -0.75; `torch.nn.functional.interpolate`, "bicubic" with ``align_corners=False``.
    """
    a, x = _SHARPNESS, (_places(size, to) - (_numbers(size + 4) - 2)).abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    weights = torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
    nearest = (_numbers(size + 4) - 2).clamp(0, size - 1)  # the edge goes on beyond itself
    return weights @ (nearest[:, None] == _numbers(size)).double()


INTERPOLATIONS: dict[str, Matrix] = {"linear": linear_matrix, "cubic": cubic_matrix}


def resized(x: Tensor, grid: Sequence[int], matrix: Matrix) -> Tensor:
    """Grids x (N, *sizes, D) on another `grid`: (N, *grid, D).

    Args:
        x: vectors on a grid of any number of axes.
        grid: the number of positions along each axis.
        matrix: `pooling_matrix`, `linear_matrix` or `cubic_matrix`.

    Example:
        >>> resized(torch.tensor([[[1.0], [3.0]]]), (1,), pooling_matrix)
        tensor([[[2.]]])
    """
    for axis, (size, to) in enumerate(zip(x.shape[1:-1], grid, strict=True), start=1):
        if size != to:
            weights = matrix(size, to).to(x)
            flat = x.flatten(axis + 1)  # (N, ..., size, rest)
            moved = weights @ flat
            x = moved.unflatten(-1, x.shape[axis + 1 :])
    return x


def _places(size: int, to: int) -> Tensor:
    """Where (to, 1) the centres of `to` cells lie between the centres of `size` cells."""
    return ((_numbers(to) + 0.5) * (size / to) - 0.5)[:, None]


def _numbers(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64, device="cpu")
