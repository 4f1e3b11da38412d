"""Cached decoding of a prior whose network steps from position to position."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.priors.convolutional import ConvolutionalPrior
from vocabula.priors.decoding import Decoding


class PositionDecoding(Decoding):
    """Cached decoding of a convolutional prior: features once per position, then its symbols.

    Args:
        prior: the model.
        batch: number of signals B.
        grid: positions along each axis.
    """

    def __init__(self, prior: ConvolutionalPrior, batch: int, grid: Sequence[int]) -> None:
        self.batch, self.grid = batch, tuple(grid)
        self._embed, self._head = prior.embed, prior.head
        self._slots = len(prior.codes.slots)
        self._positions = math.prod(grid)
        self._position = 0
        self._symbols: list[Tensor] = []
        self._state: Tensor | None = None

    @abstractmethod
    def advance(self, index: tuple[int, ...], before: Tensor | None) -> Tensor:
        """Features (B, C) of the position at `index`; called once for each, in order.

        Args:
            index: of the position, along each axis.
            before: the embedded code (B, C) of the position before, None at the first.
        """

    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""
        return self._head.logits(self._features(), len(self._symbols))

    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""
        slot = len(self._symbols)
        features = self._features()
        self._symbols.append(symbol)
        if slot + 1 < self._slots:
            self._state = self._head.extend(features, slot, symbol)
            return
        self._position += 1
        if self._position < self._positions:
            before = self._embed(torch.stack(self._symbols, -1))
            self._symbols = []
            self._state = self.advance(self._index(), before)

    def _features(self) -> Tensor:
        if self._state is None:
            self._state = self.advance(self._index(), None)
        return self._state

    def _index(self) -> tuple[int, ...]:
        index, rest = [], self._position
        for size in reversed(self.grid):
            rest, place = divmod(rest, size)
            index.append(place)
        return tuple(reversed(index))
