"""Windows of grids of several axes: priors learn equal crops of signals of any mixture of sizes."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data import DataWarning
from vocabula.data.code_arrays import CodeArrays
from vocabula.data.code_batches import CodeBatch, batch_of
from vocabula.errors import DataError, plural
from vocabula.signals.codes import CodeSpec
from vocabula.signals.condition import Axes
from vocabula.tokenizers import SignalTokenizer

CROP = 16
"""Positions of the finest level along each axis of a crop, where no option says how many."""
LEAST = 2
"""Positions of the coarsest level along each axis of a crop, at least."""
SMALLER = 0.1
"""Share of signals that a crop may exceed, where no option says how large it is."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Equal windows of signals. They begin at a position of the coarsest level.

    Attributes:
        cells: positions of the coarsest level in a window, along each axis.
        steps: for each level its positions to one of the coarsest level, along each axis.
        reach: positions around a window that a prior sees as context. Such a prior may have windows
            that are larger than a signal: what is outside is -1 and is not learned. Others see
            nothing around, and no window that is not inside.
        whole: whether priors are measured on whole signals, rather than on windows that cover them.
    """

    cells: Axes
    steps: tuple[Axes, ...]
    reach: int = 0
    whole: bool = True

    def grid(self, level: int) -> Axes:
        """The positions of a level in a window."""
        return tuple(n * step for n, step in zip(self.cells, self.steps[level], strict=True))

    def train_levels(self, arrays: CodeArrays, batch: CodeBatch, level: int) -> list[Tensor]:
        """A random window of each signal of a batch, at a level and all coarser ones.

        Returns:
            Codes (B, *grid, *code_shape) of each level, with `margin` on every side.
        """
        corners = []
        for i, draw in zip(batch.indices.tolist(), batch.draws.double().tolist(), strict=True):
            rooms = [max(n - cell, 0) + 1 for n, cell in self._pairs(arrays, i)]
            place = min(int(draw * math.prod(rooms)), math.prod(rooms) - 1)
            corners.append([int(n) for n in np.unravel_index(place, rooms)])
        return self._cut(arrays, batch.indices.tolist(), corners, level, self._around(level))

    def margin(self, level: int) -> Axes:
        """Positions of a level on both sides of its windows, along each axis."""
        pairs = zip(self._around(level), self.steps[level], strict=True)
        return tuple(n * step for n, step in pairs)

    def tiles(
        self, arrays: CodeArrays, level: int, size: int
    ) -> Iterator[tuple[CodeBatch, list[Tensor], Tensor]]:
        """Windows that cover the signals, where each position counts once.

        A last window along an axis begins earlier, so that it is whole; the positions that it
        shares with the window before do not count.

        Yields:
            The signals (B,) of windows, their codes at each level, and (B, *grid) booleans, true
            where a position of the level counts.
        """
        places = [
            (i, corner, fresh)
            for i in range(len(arrays))
            for corner, fresh in self._tiles_of(arrays, i)
        ]
        for first in range(0, len(places), size):
            signals, corners, fresh = zip(*places[first : first + size], strict=True)
            levels = self._cut(arrays, signals, corners, level, (0,) * len(self.cells))
            counted = torch.zeros(len(signals), *self.grid(level), dtype=torch.bool)
            for row, begins in zip(counted, fresh, strict=True):
                starts = [n * step for n, step in zip(begins, self.steps[level], strict=True)]
                row[tuple(slice(n, None) for n in starts)] = True
            yield batch_of(arrays, np.array(signals)), levels, counted

    def whole_cells(self, arrays: CodeArrays, signal: int) -> Axes:
        """Positions of the coarsest level of which a signal has all finer ones, along each axis."""
        assert arrays.sizes is not None, "crops are of signals of different sizes"
        levels = zip(arrays.sizes, self.steps, strict=True)
        return tuple(np.min([sizes[signal] // steps for sizes, steps in levels], 0).tolist())

    def fitting(self, arrays: CodeArrays) -> NDArray[np.int64]:
        """The signals that have a whole window, (N,); a warning says how many have none.

        Raises:
            DataError: none has.
        """
        if self.reach:
            return np.arange(len(arrays))
        fits = [all(n >= cell for n, cell in self._pairs(arrays, i)) for i in range(len(arrays))]
        missing, window = len(fits) - sum(fits), " x ".join(map(str, self.cells))
        if missing == len(fits):
            raise DataError(
                f"{arrays.name}: expected grids of at least {window} codes, the crops that are "
                f"learned, got only smaller ones; set context.positions, the side of a crop, to 1 "
                "or more, or train a portable prior, which takes any"
            )
        if missing:
            warnings.warn(
                f"{arrays.name}: {missing} of {plural(len(fits), 'signal')} have grids below "
                f"{window} codes, the crops that are learned, and are left out; "
                "context.positions=1 or more makes crops smaller",
                DataWarning,
                stacklevel=5,
            )
        return np.flatnonzero(fits)

    # --------------------------------------------------------------- internals

    def _around(self, level: int) -> Axes:
        """Positions of the coarsest level that contain the context around a window."""
        if not self.reach:
            return (0,) * len(self.cells)
        return tuple(-(-self.reach // step) for step in self.steps[level])

    def _pairs(self, arrays: CodeArrays, signal: int) -> Iterator[tuple[int, int]]:
        """The extent of a signal in the coarsest level's positions, and a window's, by axis."""
        assert arrays.sizes is not None, "crops are of signals of different sizes"
        own = arrays.sizes[0][signal].tolist() if self.reach else self.whole_cells(arrays, signal)
        return zip(own, self.cells, strict=True)

    def _tiles_of(
        self, arrays: CodeArrays, signal: int
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Corners of windows of a signal, and where in the window what is new begins."""
        axes = []
        for n, cell in self._pairs(arrays, signal):
            starts = [min(first, n - cell) for first in range(0, n, cell)]
            axes.append([(start, k * cell - start) for k, start in enumerate(starts)])
        for pairs in itertools.product(*axes):
            corner, fresh = zip(*pairs, strict=True)
            yield corner, fresh

    def _cut(
        self,
        arrays: CodeArrays,
        signals: Sequence[int],
        corners: Sequence[Sequence[int]],
        level: int,
        around: Axes,
    ) -> list[Tensor]:
        """Windows with some positions of the coarsest level around, at a level and all coarser."""
        found = []
        for own in range(level + 1):
            steps = self.steps[own]
            size = [(n + 2 * m) * s for n, m, s in zip(self.cells, around, steps, strict=True)]
            places = [
                [(c - m) * s for c, m, s in zip(corner, around, steps, strict=True)]
                for corner in corners
            ]
            pairs = zip(signals, places, strict=True)
            found.append(torch.stack([arrays.window(own, i, at, size) for i, at in pairs]))
        return found


def crops_of(
    arrays: CodeArrays,
    tokenizer: SignalTokenizer,
    *,
    reach: int = 0,
    whole: bool = True,
    positions: int | None = None,
) -> Crops:
    """The crops to learn from signals of different sizes.

    Args:
        arrays: their codes.
        tokenizer: of the codes.
        reach: see `Crops`.
        whole: see `Crops`.
        positions: positions of the coarsest level along each axis; None: those with `CROP` of the
            finest level, and without a reach at most what all but a share `SMALLER` of the signals
            have along both axes.

    Raises:
        DataError: the positions of a level are no whole number of those of the coarsest level.
    """
    densities = [_densities(level.spec) for level in tokenizer.levels]
    ratios = [
        [own / one for own, one in zip(each, densities[0], strict=True)] for each in densities
    ]
    if any(ratio.denominator > 1 for each in ratios for ratio in each):
        raise DataError(
            f"{arrays.name}: expected signals of one size, as the scales of this tokenizer do not "
            "divide one another, got several sizes; encode equal squares (--crop, --resize)"
        )
    steps = tuple(tuple(map(int, each)) for each in ratios)
    axes = len(steps[0])
    if positions is not None:
        return Crops((positions,) * axes, steps, reach, whole)
    cells = tuple(max(LEAST, CROP // step) for step in steps[-1])
    crops = Crops(cells, steps, reach, whole)
    if reach:
        return crops
    sides = [min(crops.whole_cells(arrays, i)) for i in range(len(arrays))]
    most = max(1, int(np.quantile(sides, SMALLER, method="lower")))
    return replace(crops, cells=tuple(min(n, most) for n in cells))


def _densities(codes: CodeSpec) -> list[Fraction]:
    """Positions of a level to an element of the signal, along each axis."""
    factors = codes.factors or (1,) * len(codes.strides)
    return [Fraction(*pair) for pair in zip(factors, codes.strides, strict=True)]
