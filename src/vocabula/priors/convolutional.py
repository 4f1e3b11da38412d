"""The base of convolutional priors: a network of features between embedding and head."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.condition_encoder import ConditionEncoder
from vocabula.priors.decoding import Decoding
from vocabula.priors.embedding import CodeEmbedding, SymbolHead
from vocabula.priors.prior import Prior
from vocabula.signals import Condition


class ConvolutionalPrior(Prior):
    """A prior with features per position and a small head for the symbols of a position.

    ::

        codes --> embedding --> features of the positions before --> head --> logits
                                    ^                                 ^
                                condition              symbols of this position before

    Every grid with the right number of axes can be computed.

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on.
        hidden: channels C.
        dropout: probability in [0, 1) that a value is set to 0 in training.
    """

    def __init__(
        self, codes: CodeGrid, conditioning: Conditioning, hidden: int, dropout: float
    ) -> None:
        super().__init__(codes, conditioning)
        for upper in conditioning.upper:
            if len(upper.grid) != len(codes.grid):
                raise OptionError(
                    f"conditioning.upper: expected grids of {len(codes.grid)} axes like the "
                    f"codes, got {upper.grid}; use the levels of one tokenizer"
                )
        self.hidden = hidden
        self.embed = CodeEmbedding(codes, hidden)
        self.head = SymbolHead(codes, hidden)
        self.encoder: ConditionEncoder | None = None
        if conditioning.withholdable or conditioning.upper:
            self.encoder = ConditionEncoder(conditioning, codes.grid, hidden)

    def symbol_logits(self, symbols: Tensor, condition: Condition) -> list[Tensor]:
        """Logits (B, *grid, V_s) of every symbol given all before it; see `Prior`."""
        encoded = self.encode_condition(condition, symbols.shape[1:-1])
        return self.head(self.features(self.embed(symbols), encoded), symbols)

    def embeddings(self) -> list[list[Tensor]]:
        """What embeds each symbol, of this and of coarser levels; see `Prior`."""
        encoders: list[Any] = [] if self.encoder is None else list(self.encoder.upper)
        return [part.weights() for part in (self.embed, *(each.embed for each in encoders))]

    def encode_condition(self, condition: Condition, grid: Sequence[int]) -> Tensor | None:
        """The condition as vectors, (B, *grid, C) or (B, 1, ..., 1, C), or None."""
        return None if self.encoder is None else self.encoder(condition, grid)

    @property
    def vector_bytes(self) -> int:
        """Memory of one vector (C,)."""
        return self.hidden * next(self.parameters()).element_size()

    def condition_bytes(self, grid: Sequence[int]) -> int:
        """Approximate memory that a signal's coarser codes take as vectors of a grid."""
        # the upsampling's input, its output, and the sum of levels
        return 3 * len(self.conditioning.upper) * math.prod(grid) * self.vector_bytes

    @abstractmethod
    def features(self, embedded: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, *grid, C) of the embedded codes (B, *grid, C) before each position."""


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
