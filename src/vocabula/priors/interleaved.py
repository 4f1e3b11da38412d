"""Interleaved order: grids double again and again, and context lies on all sides of a position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding

from vocabula.priors.coarser import coarser
from vocabula.priors.codes import CodeGrid
from vocabula.priors.context import COARSE, Context, Look, Seen
from vocabula.priors.planes import Place, Plane

KINDS = 3
"""Positions between four known ones, then in a row of known ones, then in a column."""
SCALES = 4
"""Spacings of known positions that are told apart: 2, 4, 8, and all above."""
COARSEST = 30
"""The scale of the first corner, which has no known position."""
AROUND = tuple(place for place in COARSE if place != (0, 0))
"""Where the books before are looked at, which are known everywhere."""


def scale_and_kind(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """The scale s of positions, and their kind among those of the scale.

    Positions whose row and column are multiples of 2^(s + 1) are known before. Of the other
    multiples of 2^s those with an odd row and an odd column come first (kind 0), then those with an
    even row (1), then those with an even column (2).

    Example:
        >>> scale_and_kind(torch.tensor([0, 2, 1]), torch.tensor([4, 6, 2]))
        (tensor([2, 1, 0]), tensor([1, 0, 2]))
    """
    both = row | column
    lowest = both & -both
    scale = torch.where(both > 0, torch.frexp(lowest.double()).exponent - 1, COARSEST).long()
    odd_row, odd_column = row >> scale & 1, column >> scale & 1
    return scale, (2 * odd_row + odd_column) * (1 - odd_row * odd_column)


def known_places(kind: int, reach: int) -> list[Place]:
    """Places (down, right) around a position of a kind, in its scale, that are known before it.

    They are those at distances d with d^2 <= r (r + 1), the nearest first.
    """
    span = range(-reach, reach + 1)
    around = [(d, r) for d in span for r in span if 0 < d * d + r * r <= reach * (reach + 1)]
    known = [(d, r) for d, r in around if _is_known(kind, d % 2, r % 2)]
    return sorted(known, key=lambda place: (place[0] ** 2 + place[1] ** 2, place))


def _is_known(kind: int, odd_down: int, odd_right: int) -> bool:
    """Whether a place comes before a position of a kind; `kind` as in `scale_and_kind`."""
    if kind == 0:  # odd row and column: what is an odd way off in both is of the coarser scale
        return bool(odd_down and odd_right)
    if kind == 1:  # and also what is of kind 0, above and below
        return odd_down != odd_right
    return bool(odd_down or odd_right)  # all but its own kind


def input_count(
    codes: CodeGrid, upper: Sequence[CodeGrid], slot: int, reach: int, kind: int
) -> int:
    """How many embeddings a symbol sees: of places, whose symbols are added up, and of its own."""
    around = len(AROUND) if codes.slots[slot].book else 0
    return len(known_places(kind, reach)) + slot + around + len(COARSE) * len(upper)


class InterleavedContext(Context):
    """The context of predictions in interleaved order.

    A symbol looks at its own book where it is known, at all symbols of books before at its place
    and, added up, around it, and at those of coarser levels around it, added up too: residual
    stages add up. Books follow one another, each over the whole grid.

    Args:
        seen: the signals.
        reach: how far away symbols of the same book are looked at, in the scale of the position.
    """

    def __init__(self, seen: Seen, reach: int) -> None:
        codes, device = seen.codes, seen.device
        super().__init__(seen, (1, 1))
        self._reach = reach
        self._known = [_offsets(known_places(kind, reach), device) for kind in range(KINDS)]
        self._around, self._cells = _offsets(AROUND, device), _offsets(COARSE, device)
        books = [slot.book for slot in codes.slots]
        self._books = [slice(books.index(b), len(books) - books[::-1].index(b)) for b in books]
        self._scale, self._kind = scale_and_kind(self.own.places.row, self.own.places.column)

    def shift(self, starts: Tensor) -> None:
        """Say where in a larger signal (B, 2) each signal begins, as scales count from there."""
        places = self.own.places
        down, right = starts.to(places.row.device)[places.signal].unbind(1)
        self._scale, self._kind = scale_and_kind(places.row + down, places.column + right)

    def wave(self) -> Tensor:
        """(N,) by scale and kind; see `Context`."""
        return (COARSEST - self._scale) * KINDS + self._kind

    def kinds(self, which: Tensor | slice) -> list[tuple[int, Tensor | slice]]:
        """One for each of the three; see `Context`."""
        kind = self._kind[which]
        every = torch.arange(self.positions, device=kind.device)[which]
        return [(k, every[kind == k]) for k in kind.unique().tolist()]

    def phases(self, which: Tensor | slice) -> list[Tensor]:
        """Also the scale; see `Context`."""
        return [*super().phases(which), self._scale[which].clamp(max=SCALES - 1)]

    def inputs(self, table: Tensor, slot: int, which: Tensor | slice, kind: int) -> Tensor:
        """Embeddings (M, inputs); see `Context`."""
        places, book = self.own.places, self._books[slot]
        signal, row, column = (x[which] for x in (places.signal, places.row, places.column))

        def seen(plane: Plane, sources: slice, at: tuple[Tensor, Tensor]) -> Tensor:
            rows = plane.rows(sources, plane.places.near(signal, *at))
            return embedding(rows, table).sum(0).flatten(1)

        def around(row: Tensor, column: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
            return row[:, None] + offsets[0], column[:, None] + offsets[1]

        step = (1 << self._scale[which])[:, None]
        down, right = self._known[kind] * step[None]
        found = [seen(self.own, book, (row[:, None] + down, column[:, None] + right))]
        if slot:
            here = self.own.rows(slice(slot), self.own.inside(which)[:, None])
            found.append(embedding(here[..., 0].T, table).flatten(1))
        if book.start:
            found.append(seen(self.own, slice(book.start), around(row, column, self._around)))
        for plane, (above, beside) in zip(self._coarse, self._factors, strict=True):
            cell = around(coarser(row, above), coarser(column, beside), self._cells)
            found.append(seen(plane, slice(None), cell))
        return torch.cat(found, 1)

    @property
    def scale(self) -> Tensor:
        """(N,) the scale of every position."""
        return self._scale

    def looks(self, slot: int, kind: int) -> list[Look]:
        """See `Context`."""
        book = self._books[slot]
        found = [Look(0, book.start, book.stop, *at, 1) for at in known_places(kind, self._reach)]
        found += [Look(0, source, source + 1, 0, 0, 0) for source in range(slot)]
        found += [Look(0, 0, book.start, *at, 0) for at in AROUND if book.start]
        for number, plane in enumerate(self._coarse, 1):
            found += [Look(number, 0, len(plane.table), *at, 0) for at in COARSE]
        return found


def _offsets(places: Sequence[Place], device: torch.device) -> Tensor:
    """Rows and columns (2, 1, T) of places."""
    return torch.tensor(places, dtype=torch.long, device=device).T[:, None]
