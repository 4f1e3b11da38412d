"""Convolutions over positions in raster order: all at once, or one position after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vocabula.priors.grids import convolve

FREQUENCIES = 8
"""Wavelengths per axis in `places`."""


class CausalConvolution(nn.Module):
    """Convolution over the earlier places, in raster order, of the k x k neighbourhood.

    Only those places have weights: (out, taps, in).

    Args:
        inner: channels in.
        outer: channels out.
        axes: axes D of the grid.
        kernel: odd width k of the neighbourhood.
        strict: leave out the place itself.

    Shape:
        (B, *grid, inner) -> (B, *grid, outer).
    """

    def __init__(self, inner: int, outer: int, axes: int, kernel: int, *, strict: bool) -> None:
        super().__init__()
        self.axes, self.radius, self.strict = axes, kernel // 2, strict
        sides = [range(-self.radius, 1)] + [range(-self.radius, self.radius + 1)] * (axes - 1)
        places = list(itertools.product(*sides))
        here = (0,) * axes
        self.offsets = [place for place in places if place < here or (place == here and not strict)]
        self.box = tuple(len(side) for side in sides)
        bound = (inner * len(self.offsets)) ** -0.5
        self.weight = nn.Parameter(torch.empty(outer, len(self.offsets), inner))
        self.bias = nn.Parameter(torch.empty(outer))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the whole grid x (B, *grid, inner)."""
        outer, taps, inner = self.weight.shape
        missing = math.prod(self.box) - taps  # the later places, which are the last of the box
        dense = pad(self.weight.transpose(1, 2), (0, missing)).reshape(outer, inner, *self.box)
        later = [self.radius] * 2 * (self.axes - 1)
        return convolve(pad(x, (0, 0, *later, self.radius, 0)), dense, self.bias)


def later(x: Tensor) -> Tensor:
    """Vectors x (B, *grid, C) moved to the next position; the first gets zeros."""
    flat = x.flatten(1, -2)
    return pad(flat, (0, 0, 1, 0))[:, :-1].reshape(x.shape)


def places(grid: Sequence[int], like: Tensor) -> Tensor:
    """The positions of a grid as sines and cosines of each coordinate, (n, F).

    Wavelengths grow from 4 positions by factors of 2.

    Args:
        grid: positions along each axis.
        like: a tensor of the requested type and device.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """
    axes = [torch.arange(size, dtype=torch.float64, device="cpu") for size in grid]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
    wavelengths = 4 * 2 ** torch.arange(FREQUENCIES, dtype=torch.float64, device="cpu")
    angles = (2 * math.pi * coordinates[..., None] / wavelengths).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], -1).to(like)
