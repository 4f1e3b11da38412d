"""What drawing asks of a prior: the next logits, with a cache or without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from vocabula.priors.codes import CodeGrid
from vocabula.signals import Condition


class Decoding(ABC):
    """A decoding in progress: the symbols so far, and the state for the next logits.

    Symbols are pushed in the order of `Model.visits`. Pushing a known symbol without asking for its
    logits saves cost where possible.
    """

    @abstractmethod
    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""

    @abstractmethod
    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""


class Model(Protocol):
    """The methods of a prior that drawing needs."""

    codes: CodeGrid

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""

    def symbol_logits(self, symbols: Tensor, condition: Condition) -> Sequence[Tensor]:
        """Logits of every symbol given all before it; see `Prior`."""

    def visits(self, grid: Sequence[int]) -> Sequence[tuple[int, int]]:
        """The order in which symbols are decoded; see `Prior`."""

    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> Decoding:
        """Start cached decoding; see `Prior`."""


class Recomputing(Decoding):
    """Decoding without a cache: every symbol costs a forward pass over the whole grid.

    Args:
        prior: the model.
        batch: number of signals B.
        grid: positions along each axis.
        condition: complete, of batch B.
    """

    def __init__(self, prior: Model, batch: int, grid: Sequence[int], condition: Condition) -> None:
        self._prior, self._condition = prior, condition
        slots = len(prior.codes.slots)
        self._symbols = torch.zeros(batch, *grid, slots, dtype=torch.long, device=prior.device)
        self._flat = self._symbols.view(batch, -1, slots)
        self._visits = prior.visits(grid)
        self._next = 0

    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""
        position, slot = self._visits[self._next]
        logits = self._prior.symbol_logits(self._symbols, self._condition)[slot]
        return logits.flatten(1, -2)[:, position]

    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""
        position, slot = self._visits[self._next]
        self._flat[:, position, slot] = symbol
        self._next += 1
