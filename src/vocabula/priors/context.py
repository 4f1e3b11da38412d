"""The context of a position's prediction: earlier symbols at fixed places around it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.coarser import coarser, phase, phases_of, wanted
from vocabula.priors.codes import CodeGrid
from vocabula.priors.planes import Place, Plane, Runs

SKEW = 3
"""Position (r, c) needs none (r', c') with c' + 3 r' >= c + 3 r: such positions go together."""
NEAREST = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
"""Where symbols of the books before are looked at, beside the place itself."""
COARSE = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
"""Where codes of coarser levels are looked at."""
OUTSIDE = (0, -1)
"""Where a symbol of a signal of one position looks for others: at nothing, always the same."""
BEFORE, ALONG = ((0, -1),), ((0, -1), (0, 0), (0, 1))
"""`NEAREST` and `COARSE` of signals of one axis, which are rows of a grid of height 1."""


def is_series(codes: CodeGrid) -> bool:
    """Whether signals have one axis. A grid of one position is that of signals without axes."""
    return len(codes.grid) == 1 and codes.grid != (1,)


def as_planes(codes: CodeGrid, runs: Runs) -> Runs:
    """Grids as the context has them.

    Those of two axes stay; of one axis, with any sides of 1, they are single rows; the positions of
    signals without axes are grids of their own, in the same order.
    """
    if len(codes.grid) == 2:
        return runs
    if is_series(codes):
        return [(count, (1, math.prod(grid))) for count, grid in runs]
    return [(count * math.prod(grid), (1, 1)) for count, grid in runs]


class Tap(NamedTuple):
    """One symbol that is looked at.

    Attributes:
        source: index of a symbol of a position, or of a coarser level's position.
        down: rows from the position, or from the coarser position that it belongs to.
        right: columns likewise.
    """

    source: int
    down: int
    right: int


class Look(NamedTuple):
    """A place that is looked at, and the symbols there, whose embeddings are added up.

    Attributes:
        plane: its index in `Context.planes`.
        first: index of the first of the symbols.
        after: index after the last of them.
        down: rows from the position, or from the coarser position that it belongs to.
        right: columns likewise.
        scaled: 1 if both count in steps of 2^scale, see `Context.scale`; else 0.
    """

    plane: int
    first: int
    after: int
    down: int
    right: int
    scaled: int


def causal_places(reach: int) -> list[tuple[int, int]]:
    """Places (down, right) before a position, at most `reach` away.

    They are at most 2 to the right for each row up: `SKEW` allows no more.
    """
    left = [(0, -right) for right in range(1, reach + 1)]
    above = [
        (-down, right)
        for down in range(1, reach + 1)
        for right in range(-reach, min(reach, 2 * down) + 1)
    ]
    return left + above


def own_taps(codes: CodeGrid, slot: int, reach: int) -> list[Tap]:
    """The taps of a symbol in its own level.

    In its own book it looks at every symbol of earlier positions and at earlier symbols of its
    position. In each earlier book it looks at the symbols at the same place, and in the nearest
    book also beside it. No symbol looks at a later book, so the books follow one another in a file.
    Where a signal has one axis there is nothing above a position, and where it has none there is
    nothing beside it.
    """
    book = codes.slots[slot].book
    before, beside = _places(codes, reach)
    taps = []
    for source, other in enumerate(codes.slots):
        if other.book > book:
            break
        if source < slot:
            taps.append(Tap(source, 0, 0))
        if other.book == book:
            taps += [Tap(source, *place) for place in before]
        elif other.book == book - 1:
            taps += [Tap(source, *place) for place in beside]
    return taps


def _places(codes: CodeGrid, reach: int) -> tuple[Sequence[Place], Sequence[Place]]:
    """Where a symbol looks in its own book, and in the book before."""
    if len(codes.grid) == 2:
        return causal_places(reach), NEAREST
    if is_series(codes):
        return [(0, -right) for right in range(1, reach + 1)], BEFORE
    return [OUTSIDE], ()


def coarse_places(codes: CodeGrid) -> Sequence[Place]:
    """Where codes of coarser levels are looked at."""
    return ALONG if is_series(codes) else COARSE


class Seen(NamedTuple):
    """Signals whose symbols are predicted, and the coarser levels that are known of them.

    Attributes:
        codes: what the codes look like.
        upper: what those of coarser levels look like.
        factors: positions to one coarser position, along each axis, for each coarser level; see
            `step_between`.
        runs: the signals' grids.
        coarse: for each coarser level its grids, and symbols (N, S) of all its positions.
        device: of the tensors.
    """

    codes: CodeGrid
    upper: Sequence[CodeGrid]
    factors: Sequence[tuple[Fraction, Fraction]]
    runs: Runs
    coarse: Sequence[tuple[Runs, Tensor]]
    device: torch.device


class Context(ABC):
    """The symbols of some signals, and the context that predictions take from them.

    Args:
        seen: the signals.
        margin: how far outside a grid its symbols are looked at, down and to the right.

    Attributes:
        own: the symbols of the signals' own level.

    Raises:
        OptionError: grids of a coarser level do not cover the signals' own grids.
    """

    def __init__(self, seen: Seen, margin: Place) -> None:
        self.own = Plane(seen.runs, seen.codes.symbol_sizes, 0, margin, seen.device)
        first = table_rows(seen.codes)
        self._factors = seen.factors
        self._coarse: list[Plane] = []
        levels = zip(seen.upper, seen.coarse, seen.factors, strict=True)
        for grid, (its_runs, symbols), its_factors in levels:
            _check_covered(seen.runs, its_runs, its_factors)
            plane = Plane(its_runs, grid.symbol_sizes, first, coarse_margin(grid), seen.device)
            for source in range(symbols.shape[1]):
                plane.put(source, slice(None), symbols[:, source])
            self._coarse.append(plane)
            first += table_rows(grid)

    @property
    def positions(self) -> int:
        """Positions of all signals N."""
        return len(self.own.places.row)

    @property
    def scale(self) -> Tensor | None:
        """(N,) the scale of every position; None in an order without scales."""
        return None

    def planes(self) -> list[tuple[Plane, Tensor, Tensor]]:
        """The planes of all levels, the own first, with rows and columns (N,) of the positions."""
        row, column = self.own.places.row, self.own.places.column
        levels = zip(self._coarse, self._factors, strict=True)
        above = [(p, coarser(row, down), coarser(column, right)) for p, (down, right) in levels]
        return [(self.own, row, column), *above]

    @abstractmethod
    def wave(self) -> Tensor:
        """(N,) the order of prediction: after all positions with a lower number."""

    @abstractmethod
    def kinds(self, which: Tensor | slice) -> list[tuple[int, Tensor | slice]]:
        """Positions by the kind of places that they look at, each with its own first layer."""

    @abstractmethod
    def inputs(self, table: Tensor, slot: int, which: Tensor | slice, kind: int) -> Tensor:
        """Embeddings (M, inputs) of what a symbol of positions (M,) of a kind looks at."""

    @abstractmethod
    def looks(self, slot: int, kind: int) -> list[Look]:
        """What a symbol of positions of a kind looks at, in the order of `inputs`."""

    def phases(self, which: Tensor | slice) -> list[Tensor]:
        """For each coarser level, the index of positions (M,) among its f x f fine positions."""
        row, column = self.own.places.row[which], self.own.places.column[which]
        return [
            phase(row, down) * phases_of(right) + phase(column, right)
            for down, right in self._factors
        ]


def by_kind(
    context: Context,
    which: Tensor | slice,
    compute: Callable[[Tensor | slice, int], Tensor],
) -> Tensor:
    """What `compute` gives for positions (M,), those of each kind by themselves, in one tensor."""
    parts = context.kinds(which)
    if len(parts) == 1:
        return compute(which, parts[0][0])
    found = torch.cat([compute(part, kind) for kind, part in parts])
    # the positions (M,) are in any order: each looks up its place among those of all kinds
    every = torch.arange(context.positions, device=found.device)
    place = torch.empty_like(every)
    place[torch.cat([every[part] for _, part in parts])] = every[: len(found)]
    return found[place[every[which]]]


class RasterContext(Context):
    """The context of predictions in raster order, where all symbols before are known.

    Args:
        seen: the signals.
        reach: how far away symbols of the same book are looked at.
    """

    def __init__(self, seen: Seen, reach: int) -> None:
        codes, device = seen.codes, seen.device
        super().__init__(seen, margin(codes, reach))
        self._taps = [
            torch.tensor(own_taps(codes, slot, reach), device=device).T
            for slot in range(len(codes.slots))
        ]
        around = coarse_places(codes)
        self._coarse_taps = [
            torch.tensor([Tap(s, *at) for s in range(len(grid.slots)) for at in around]).T.to(
                device
            )
            for grid in seen.upper
        ]

    def wave(self) -> Tensor:
        """(N,) by column and row; see `Context`."""
        return self.own.places.column + SKEW * self.own.places.row

    def kinds(self, which: Tensor | slice) -> list[tuple[int, Tensor | slice]]:
        """All are of one kind; see `Context`."""
        return [(0, which)]

    def inputs(self, table: Tensor, slot: int, which: Tensor | slice, kind: int) -> Tensor:
        """Embeddings (M, inputs); see `Context`."""
        return table[self._rows(slot, which)].flatten(1)

    def looks(self, slot: int, kind: int) -> list[Look]:
        """One for each tap; see `Context`."""
        return [
            Look(plane, source, source + 1, down, right, 0)
            for plane, taps in enumerate((self._taps[slot], *self._coarse_taps))
            for source, down, right in taps.T.tolist()
        ]

    def _rows(self, slot: int, which: Tensor | slice) -> Tensor:
        """Rows (M, T) of the embedding table that a symbol of positions (M,) looks at."""
        places = self.own.places
        signal, row, column = (x[which] for x in (places.signal, places.row, places.column))
        found = [self.own.look(self.own.inside(which), signal, self._taps[slot])]
        levels = zip(self._coarse, self._coarse_taps, self._factors, strict=True)
        for plane, its_taps, (down, right) in levels:
            at = plane.places.at(signal, coarser(row, down), coarser(column, right))
            found.append(plane.look(at, signal, its_taps))
        return torch.cat(found, 1)


def _check_covered(runs: Runs, coarse: Runs, factors: tuple[Fraction, Fraction]) -> None:
    """Refuse grids of a coarser level that do not cover those of a finer level."""
    for (_, grid), (_, its) in zip(runs, coarse, strict=True):
        needed = tuple(wanted(side, step) for side, step in zip(grid, factors, strict=True))
        if any(have < need for have, need in zip(its, needed, strict=True)):
            raise OptionError(
                f"condition.upper: expected {needed} coarser codes for a grid of {grid}, got "
                f"{its}; give all levels of the same signals"
            )


def margin(codes: CodeGrid, reach: int) -> Place:
    """How far from a position, down and to the right, symbols of its own level are looked at."""
    if len(codes.grid) == 2:
        return reach, reach
    return (0, reach) if is_series(codes) else (1, 1)


def coarse_margin(codes: CodeGrid) -> Place:
    """The `margin` of a coarser level."""
    return margin(codes, 1)


def table_rows(codes: CodeGrid) -> int:
    """Rows of the embedding table for the symbols of a level."""
    return sum(size + 1 for size in codes.symbol_sizes)


def tap_count(codes: CodeGrid, upper: Sequence[CodeGrid], slot: int, reach: int) -> int:
    """How many symbols a symbol looks at."""
    around = len(coarse_places(codes))
    return len(own_taps(codes, slot, reach)) + sum(len(grid.slots) * around for grid in upper)
