"""Signals that are too long to be held: they are read, and written, in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names and headers are read without torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Parts:
    """One signal along one axis in parts, one after the other.

    Attributes:
        length: its elements along the axis.
        read: gives the parts (1, channels, n), of any lengths from 1, from the beginning on.
    """

    length: int
    read: Callable[[], Iterator[Tensor]]

    def whole(self) -> Tensor:
        """The signal (1, channels, length)."""
        import torch

        return torch.cat(list(self.read()), dim=2)


@dataclass(frozen=True, slots=True)
class LongSignal:
    """A signal of a source in parts, with what is known of it; see `Batch`.

    Attributes:
        parts: the signal.
        attributes: (1,) int64 by name, -1 where it has none.
        indices: (1,) int64, its position in the source.
        paths: where it came from.
    """

    parts: Parts
    attributes: Mapping[str, Tensor]
    indices: Tensor
    paths: Sequence[str]

    def __len__(self) -> int:
        """The number of signals."""
        return 1
