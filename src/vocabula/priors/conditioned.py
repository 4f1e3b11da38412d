"""The codes of one level together with what they are conditioned on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.code_arrays import CodeArrays
from vocabula.data.code_batches import CodeBatch, code_batches
from vocabula.priors import TextTokenizer
from vocabula.signals import Condition


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
    """

    arrays: CodeArrays
    level: int = 0
    attributes: tuple[str, ...] = ()
    captions: CaptionTokens | None = None
    channels: int = 1

    def __len__(self) -> int:
        """The number of signals."""
        return len(self.arrays)

    def of(self, batch: CodeBatch) -> tuple[Tensor, Condition]:
        """Codes (B, *grid, *code_shape) of a batch and their condition."""
        text = None
        if self.captions is not None:
            text = self.captions.drawn(batch.indices, batch.draws)
        attributes = {name: batch.attributes[name] for name in self.attributes}
        condition = Condition(attributes, text, upper=batch.levels[: self.level])
        return batch.levels[self.level], condition

    def batches(self, size: int) -> Iterator[tuple[Tensor, Condition]]:
        """All signals once, in order, each with its first caption."""
        return (self.of(batch) for batch in code_batches(self.arrays, size))

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
        """Number of values (elements times channels) of all signals."""
        return int(self.arrays.extents.prod(1).sum()) * self.channels
