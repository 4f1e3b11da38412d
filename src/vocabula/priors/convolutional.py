"""The base of convolutional priors: a network of features between embedding and head."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.condition_encoder import ConditionEncoder
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
        if conditioning.withholdable or conditioning.upper or conditioning.timing:
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
        known = self.conditioning
        return (3 * len(known.upper) + bool(known.timing)) * math.prod(grid) * self.vector_bytes

    @abstractmethod
    def features(self, embedded: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, *grid, C) of the embedded codes (B, *grid, C) before each position."""
