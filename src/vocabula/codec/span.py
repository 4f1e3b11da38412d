"""Which codes a segment of a compressed file holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.header import Header, Stage

Codes = NDArray[np.uint32]


Runs = tuple[tuple[int, tuple[int, ...]], ...]
"""Equal neighbours: (count, size)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a segment's head says about the bytes of one stage.

    Attributes:
        length: of the bytes.
        crc: CRC-32 of the bytes.
        codes_crc: CRC-32 of the codes, stream after stream, each as 4 bytes, little-endian.
    """

    length: int
    crc: int
    codes_crc: int


@dataclass(frozen=True, slots=True)
class Span:
    """The signals of a segment.

    Attributes:
        runs: sizes of the signals that begin in it; of a part the whole signal's.
        rows: of a part, the first row of the signal and the one after its last; else None.
    """

    runs: Runs
    rows: tuple[int, int] | None = None

    @property
    def begins(self) -> bool:
        """Whether its first signal begins in it."""
        return self.rows is None or self.rows[0] == 0

    @property
    def signals(self) -> int:
        """Number of signals with rows in this segment."""
        return sum(count for count, _ in self.runs)

    def items(self, header: Header) -> int:
        """Number of signals, rows of those without axes counted one by one."""
        return sum(count * header.signal.count(size) for count, size in self.runs)

    @property
    def values(self) -> int:
        """Values of each channel in the segment: of an image pixels."""
        if self.rows is not None:
            return (self.rows[1] - self.rows[0]) * math.prod(self.runs[0][1][1:])
        return sum(count * math.prod(size) for count, size in self.runs)

    def grids(self, stage: Stage) -> Runs:
        """Grids of the codes of a stage, as runs."""
        if self.rows is None:
            return tuple((count, stage.grid(size)) for count, size in self.runs)
        first, after = self.rows
        size = self.runs[0][1]
        above = stage.grid((first, *size[1:]))[0]
        grid = stage.grid((after, *size[1:]))
        return ((1, (grid[0] - above, *grid[1:])),)

    def positions(self, stage: Stage) -> int:
        """Codes of one stream of a stage."""
        return sum(count * math.prod(grid) for count, grid in self.grids(stage))


@dataclass
class Block:
    """The codes of a segment, as the entropy models see them.

    Attributes:
        books: K of each stream, stage by stage.
        grids: of each stage, the grids that the codes of a stream fill one after another.
        codes: of each stream, (positions,) uint32, as far as they are known.
    """

    books: tuple[tuple[int, ...], ...]
    grids: tuple[Runs, ...]
    codes: list[Codes] = field(default_factory=list)

    def streams(self, stage: int) -> range:
        """The places of a stage's streams among all."""
        first = sum(len(books) for books in self.books[:stage])
        return range(first, first + len(self.books[stage]))

    def positions(self, stage: int) -> int:
        """Codes of each stream of a stage."""
        return sum(count * math.prod(grid) for count, grid in self.grids[stage])


def empty_block(header: Header, span: Span) -> Block:
    """A block of the streams that a file holds, before any codes."""
    stages = header.stages[: header.kept]
    return Block(
        tuple(stage.symbols for stage in stages), tuple(span.grids(stage) for stage in stages)
    )
