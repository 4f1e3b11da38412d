"""Causal convolutions, one position at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.priors.raster import CausalConvolution


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
