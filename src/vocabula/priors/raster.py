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


class Ring:
    """Where a convolution finds its inputs when positions come one after the other.

    Only the last ``kernel // 2 + 1`` slabs of the first axis are kept, in a ring of cells, with
    cells of zeros around the other axes.

    Args:
        layer: a convolution; all of its kernel share a ring.
        grid: positions along each axis.

    Attributes:
        size: number of cells.
        own: the cell of each position.
        seen: the cells (taps,) that a position looks at, with its own cell last.
    """

    def __init__(self, layer: CausalConvolution, grid: Sequence[int]) -> None:
        self._radius = layer.radius
        self._sides = (layer.radius + 1, *(size + 2 * layer.radius for size in grid[1:]))
        self.size = math.prod(self._sides)
        here = (0,) * len(grid)
        offsets = [offset for offset in layer.offsets if offset != here] + [here]
        indices = itertools.product(*(range(size) for size in grid))
        table = [[self._cell(index, offset) for offset in offsets] for index in indices]
        self.own = [cells[-1] for cells in table]
        self.seen = torch.tensor(table, device=layer.weight.device).unbind()

    def _cell(self, index: tuple[int, ...], offset: tuple[int, ...]) -> int:
        """Where in the ring the position at an offset from `index` is kept."""
        cell = (index[0] + offset[0]) % self._sides[0]
        for i, o, size in zip(index[1:], offset[1:], self._sides[1:], strict=True):
            cell = cell * size + i + o + self._radius
        return cell


class RingConvolution:
    """A convolution evaluated position by position.

    Args:
        layer: the convolution.
        ring: of its kernel.
        batch: number of signals B.
    """

    def __init__(self, layer: CausalConvolution, ring: Ring, batch: int) -> None:
        self._ring, self._strict = ring, layer.strict
        self._weight, self._bias = layer.weight.flatten(1).T, layer.bias
        self._rows = layer.weight.new_zeros(batch, ring.size, layer.weight.shape[-1])

    def __call__(self, place: int, x: Tensor) -> Tensor:
        """The output (B, outer) at position `place`.

        Args:
            place: 0, 1, 2, ... in order.
            x: (B, inner) of this position, or of the previous one for a strict convolution.
        """
        cells = self._ring.seen[place]
        if not self._strict:
            self._rows[:, self._ring.own[place]] = x
        else:
            cells = cells[:-1]
            if place:
                self._rows[:, self._ring.own[place - 1]] = x
        window = self._rows.index_select(1, cells).flatten(1)
        return torch.addmm(self._bias, window, self._weight)
