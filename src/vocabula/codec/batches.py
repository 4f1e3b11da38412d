"""Which signals of a segment a network codes together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.span import Block

MOST_SIGNALS = 64
MOST_POSITIONS = 2**16
MOST_ROWS = 2**12


@dataclass(frozen=True)
class Batch:
    """Signals whose grids are equal in every stage so far.

    Attributes:
        grids: grid of each stage, up to the one that is coded.
        firsts: (stages, B) positions where a signal's codes begin in the streams of each stage.
    """

    grids: tuple[tuple[int, ...], ...]
    firsts: NDArray[np.int64]

    @property
    def signals(self) -> int:
        """How many signals there are, B."""
        return self.firsts.shape[1]

    def places(self, stage: int) -> NDArray[np.int64]:
        """The positions (B, n) of a stage's codes in each of its streams."""
        return self.firsts[stage][:, None] + np.arange(math.prod(self.grids[stage]))

    def codes(self, block: Block, stage: int) -> NDArray[np.int64]:
        """The codes (B, *grid, books) of a stage of a block that has them."""
        books = [block.codes[stream][self.places(stage)] for stream in block.streams(stage)]
        shape = (self.signals, *self.grids[stage], len(books))
        return np.stack(books, -1).astype(np.int64).reshape(shape)


def row_batches(block: Block, stage: int) -> Iterator[Batch]:
    """The batches of a segment whose signals have no axes: each row is a signal of one position.

    Args:
        block: the segment.
        stage: the stage that is coded.
    """
    rows = np.arange(block.positions(stage))
    for first in range(0, len(rows), MOST_ROWS):
        firsts = np.tile(rows[first : first + MOST_ROWS], (stage + 1, 1))
        yield Batch(((1,),) * (stage + 1), firsts)


def batches(block: Block, stage: int) -> Iterator[Batch]:
    """The batches in which the signals of a segment are coded, for one of its stages.

    Signals of equal grids share batches, in the order of the first signal of each grid: at most 64
    per batch, and fewer for large grids, so that several have at most 2^16 positions together.

    Args:
        block: the segment.
        stage: the stage that is coded.
    """
    found: dict[tuple[tuple[int, ...], ...], list[NDArray[np.int64]]] = {}
    at = np.zeros(stage + 1, np.int64)
    for same in zip(*block.grids[: stage + 1], strict=True):
        count, grids = same[0][0], tuple(grid for _, grid in same)
        positions = np.array([math.prod(grid) for grid in grids])
        found.setdefault(grids, []).append(at[:, None] + positions[:, None] * np.arange(count))
        at += count * positions
    for grids, parts in found.items():
        firsts = np.concatenate(parts, 1)
        most = max(1, min(MOST_SIGNALS, MOST_POSITIONS // math.prod(grids[stage])))
        for first in range(0, firsts.shape[1], most):
            yield Batch(grids, firsts[:, first : first + most])
