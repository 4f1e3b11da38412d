"""The codes of one level together with what they are conditioned on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.code_arrays import CodeArrays
from vocabula.data.code_batches import CodeBatch, code_batches, size_batches
from vocabula.priors import TextTokenizer
from vocabula.priors.crops import Crops
from vocabula.signals import Condition
from vocabula.signals.codes import OUTSIDE


@dataclass(frozen=True, slots=True)
class CaptionTokens:
    """The captions of many signals as integers.

    Attributes:
        tokens: (U, T) int64, the different captions, padded with 0; the first is "no text".
        rows: (M,) the caption in `tokens` of each caption of each signal, signal by signal.
        first: (N,) where each signal's captions begin in `rows`.
        count: (N,) number of captions of each signal, at least 1.
    """

    tokens: Tensor
    rows: Tensor
    first: Tensor
    count: Tensor

    @classmethod
    def of(
        cls, captions: Sequence[Sequence[str]], tokenizer: TextTokenizer, length: int
    ) -> CaptionTokens:
        """Captions as tokens of a text tokenizer, cut to `length`."""
        own = [texts or ("",) for texts in captions]  # an empty caption means "no text"
        places = {text: i for i, text in enumerate(dict.fromkeys(["", *chain(*own)]))}
        counts = torch.tensor([len(texts) for texts in own], dtype=torch.long)
        return cls(
            tokens=tokenizer.encode(list(places), length, strict=False),
            rows=torch.tensor([places[text] for text in chain(*own)], dtype=torch.long),
            first=counts.cumsum(0) - counts,
            count=counts,
        )

    def drawn(self, indices: Tensor, draws: Tensor) -> Tensor:
        """Tokens (B, T) of one caption of each signal.

        Args:
            indices: (B,) positions of the signals.
            draws: (B,) numbers in [0, 1) that choose among a signal's captions.
        """
        count = self.count[indices]
        chosen = (draws.double() * count).long().minimum(count - 1)
        return self.tokens[self.rows[self.first[indices] + chosen]]

    def take(self, indices: NDArray[np.int64]) -> CaptionTokens:
        """The captions of some signals."""
        chosen = torch.from_numpy(indices)
        return replace(self, first=self.first[chosen], count=self.count[chosen])


@dataclass(frozen=True, slots=True)
class ConditionedCodes:
    """Data for training or measuring a prior: codes, and the condition of each.

    Attributes:
        arrays: the codes of all levels.
        level: the level that is predicted, 0 for the coarsest; coarser ones are conditions.
        attributes: names of the attributes that are conditions.
        captions: text conditions, or None.
        channels: channels of the signals.
        context: positions of the coarsest level that are seen at once; None: whole signals.
        crops: the windows that are seen of signals of different sizes along several axes.
    """

    arrays: CodeArrays
    level: int = 0
    attributes: tuple[str, ...] = ()
    captions: CaptionTokens | None = None
    channels: int = 1
    context: int | None = None
    crops: Crops | None = None

    def __len__(self) -> int:
        """The number of signals."""
        return len(self.arrays)

    def of(self, batch: CodeBatch) -> tuple[Tensor, Condition]:
        """Codes (B, *grid, *code_shape) of a training batch and their condition."""
        if self.crops is None:
            return self._conditioned(batch, batch.levels)
        codes, condition = self._conditioned(
            batch, self.crops.train_levels(self.arrays, batch, self.level)
        )
        return codes, replace(condition, margin=self.crops.margin(self.level))

    def _conditioned(self, batch: CodeBatch, levels: Sequence[Tensor]) -> tuple[Tensor, Condition]:
        """The codes of the level, of those of all levels, and their condition."""
        text = None
        if self.captions is not None:
            text = self.captions.drawn(batch.indices, batch.draws)
        attributes = {name: batch.attributes[name] for name in self.attributes}
        timing = None
        if self.timing:
            levels, timing = self._parts(batch)
        upper = tuple(levels[: self.level])
        condition = Condition(attributes, text, upper=upper, timing=timing)
        return levels[self.level], condition

    @property
    def timing(self) -> int:
        """Positions of the longest signal, where signals differ in length or are cut; else 0."""
        longest = self.arrays.grids[self.level][0]
        cut = self.context is not None and self.context < self.arrays.grids[0][0]
        return longest if cut or self.arrays.counts is not None else 0

    @property
    def grids(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each level along its axes that are seen at once, at most."""
        grids = self.arrays.grids
        if self.crops is not None:
            return tuple(map(self.crops.grid, range(len(grids))))
        if self.context is None or self.context >= grids[0][0]:
            return grids
        return tuple((self.context * (grid[0] // grids[0][0]),) for grid in grids)

    def _parts(self, batch: CodeBatch) -> tuple[tuple[Tensor, ...], Tensor]:
        """The codes (B, n, *code_shape) of each level that are seen, and their times (B, 2).

        A part starts at a position of the coarsest level, so that its levels cover the same.
        """
        counts = _positions(batch.levels[0])
        starts = torch.zeros_like(counts)
        if self.context is not None:
            room = (counts - self.context).clamp(min=0)
            starts = (batch.draws.double() * (room + 1)).long().minimum(room)
        levels = []
        for codes, (size,), (longest,) in zip(
            batch.levels, self.grids, self.arrays.grids, strict=True
        ):
            step = longest // self.arrays.grids[0][0]
            places = starts[:, None] * step + torch.arange(min(size, codes.shape[1]))
            inside = places < codes.shape[1]
            rows = torch.arange(len(codes))[:, None]
            part = codes[rows, places.clamp(max=codes.shape[1] - 1)]
            part[~inside] = OUTSIDE
            levels.append(part)
        totals = _positions(batch.levels[self.level])
        step = self.arrays.grids[self.level][0] // self.arrays.grids[0][0]
        return tuple(levels), torch.stack([starts * step, totals], 1)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Condition, Tensor]]:
        """All signals once, each with its first caption, and where its codes count (B, *grid).

        Signals of different sizes along several axes come as their `Crops` say: whole, those of
        equal grids together and as many positions as in `size` windows, or in windows.
        """
        if self.crops is None:
            plain = (self.of(batch) for batch in code_batches(self.arrays, size))
            yield from ((*one, self._inside(one[0])) for one in plain)
        elif self.crops.whole:
            most = size * math.prod(self.crops.grid(len(self.arrays.levels) - 1))
            for batch in size_batches(self.arrays, most):
                codes, condition = self._conditioned(batch, batch.levels)
                yield codes, condition, self._inside(codes)
        else:
            for batch, levels, counted in self.crops.tiles(self.arrays, self.level, size):
                yield *self._conditioned(batch, levels), counted

    def _inside(self, codes: Tensor) -> Tensor:
        """Where signals have codes, (B, *grid)."""
        shape = self.arrays.layouts[self.level].code_shape
        found = codes != OUTSIDE
        return found.flatten(found.ndim - len(shape)).all(-1) if shape else found

    def corners(self, extent: Sequence[int]) -> ConditionedCodes:
        """The first crop of each signal that has a whole one, as signals of equal grids.

        Args:
            extent: of a crop, along each axis.

        Raises:
            DataError: no signal has one.
        """
        if self.crops is None:
            return self
        own = self.take(replace(self.crops, reach=0).fitting(self.arrays))
        extents = np.tile(np.array(extent), (len(own), 1))
        arrays = replace(own.arrays.corners(self.grids), extents=extents)
        return replace(own, arrays=arrays, crops=None)

    def take(self, indices: NDArray[np.int64]) -> ConditionedCodes:
        """The signals at some indices."""
        captions = None if self.captions is None else self.captions.take(indices)
        return replace(self, arrays=self.arrays.take(indices), captions=captions)

    def books(self) -> Iterator[Tensor]:
        """The codes of each book, (N, *grid) int64."""
        codes = self.arrays.codes(self.level)
        shape = self.arrays.layouts[self.level].code_shape
        yield from codes.flatten(codes.ndim - len(shape)).unbind(-1) if shape else [codes]

    @property
    def dimensions(self) -> int:
        """Number of values (elements times channels) of all signals, as far as they are seen."""
        extents = self.arrays.extents
        if self.context is not None and len(extents):
            longest = self.arrays.grids[0][0]
            extents = extents.clip(max=-(-int(extents.max()) * self.context // longest))
        return int(extents.prod(1).sum()) * self.channels


def _positions(codes: Tensor) -> Tensor:
    """Positions (B,) of signals in codes (B, n, *code_shape) of one axis."""
    return codes.flatten(1, -1).unflatten(1, (codes.shape[1], -1))[..., 0].ne(OUTSIDE).sum(1)
