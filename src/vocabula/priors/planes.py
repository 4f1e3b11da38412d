"""The symbols of a level on its grids, in flat arrays with a margin around every grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Place = tuple[int, int]
"""Rows down and columns to the right."""
Runs = Sequence[tuple[int, tuple[int, ...]]]
"""Grids as (count, (height, width))."""


class Places:
    """The positions of some grids, each with a margin, in one flat array.

    Args:
        runs: the grids.
        margin: places above and below each grid, and at its left and right.
        device: of the tensors.

    Attributes:
        size: length of the flat array.
        signal, row, column: (N,) of every position, grid after grid in raster order.
        height, width: (signals,) of every grid.
        first: (signals,) where its first position is in the flat array.
        stride: (signals,) from one of its rows to the next.
    """

    def __init__(self, runs: Runs, margin: Place, device: torch.device) -> None:
        above, beside = margin
        counts = torch.tensor([count for count, _ in runs])
        sides = torch.tensor([grid for _, grid in runs]).repeat_interleave(counts, 0).to(device)
        self.height, self.width = height, width = sides.unbind(1)
        self.stride = width + 2 * beside
        areas = (height + 2 * above) * self.stride
        self.first = areas.cumsum(0) - areas + above * self.stride + beside
        self.size = int(areas.sum())
        cells = height * width
        self.signal = torch.arange(len(sides), device=device).repeat_interleave(cells)
        start = (cells.cumsum(0) - cells)[self.signal]
        within = torch.arange(len(self.signal), device=device) - start
        self.row, self.column = within // width[self.signal], within % width[self.signal]

    def at(self, signal: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The indices of positions in the flat array."""
        return self.first[signal] + row * self.stride[signal] + column

    def around(self, at: Tensor, signal: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """The indices (M, T) of places (T,) around positions (M,)."""
        return at[:, None] + down * self.stride[signal][:, None] + right

    def near(self, signal: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The indices (M, T) of places in signals (M,); 0, which is a margin, of those outside."""
        own = signal[:, None]
        inside = (row >= 0) & (row < self.height[own]) & (column >= 0) & (column < self.width[own])
        return self.at(own, row, column).masked_fill(~inside, 0)


class Plane:
    """Symbols of one level on its grids, as rows of an embedding table.

    Args:
        runs: the grids.
        sizes: values V_s of each symbol of a position.
        first: the row of the table of the first symbol's value 0; V_s + 1 rows for each symbol
            follow, the last of them for places outside.
        margin: how far away taps are, down and to the right.
        device: of the tensors.

    Attributes:
        places: the positions.
        table: (sources, places) the table's row of every symbol.
    """

    def __init__(
        self,
        runs: Runs,
        sizes: Sequence[int],
        first: int,
        margin: Place,
        device: torch.device,
    ) -> None:
        self.places = Places(runs, margin, device)
        at = self.places
        self._inside = at.at(at.signal, at.row, at.column)
        self._offsets, outside = [], []
        for size in sizes:
            self._offsets.append(first)
            outside.append(first + size)
            first += size + 1
        self.table = torch.tensor(outside, device=device)[:, None].repeat(1, at.size)

    def put(self, source: int, which: Tensor | slice, symbols: Tensor) -> None:
        """Set the symbols (M,) number `source` of positions."""
        self.table[source, self._inside[which]] = symbols + self._offsets[source]

    def look(self, at: Tensor, signal: Tensor, taps: Tensor) -> Tensor:
        """Table rows (M, T) that taps (3, T), see `Tap`, find around flat places (M,)."""
        source, down, right = taps
        flat = self.places.around(at, signal, down, right) + source * self.places.size
        return self.table.flatten()[flat]

    def rows(self, sources: slice, flat: Tensor) -> Tensor:
        """Table rows (sources, M, T) of some symbols of flat places (M, T)."""
        return self.table[sources, flat]

    def inside(self, which: Tensor | slice) -> Tensor:
        """Flat places (M,) of positions."""
        return self._inside[which]
