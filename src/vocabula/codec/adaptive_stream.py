"""A stream of codes as the adaptive coder sees it, compiled or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.span import Codes
from vocabula.codec.tree import bits_of, slots_for


@dataclass(frozen=True, slots=True)
class AdaptiveStream:
    """One stream of a segment, with what a decoder knows of it.

    Attributes:
        grids: (runs, 3) int64: count, height and width.
        symbols: K.
        own: probabilities from `own_tables`.
        own_seen: counts from `own_tables`.
        before: ranks of the stream before at the same places, or None.
        earlier: ranks of the stream before that, or None.
    """

    grids: NDArray[np.int64]
    symbols: int
    own: NDArray[np.uint32]
    own_seen: NDArray[np.uint16]
    before: Codes | None
    earlier: Codes | None

    @property
    def positions(self) -> int:
        """Codes."""
        return int(self.grids.prod(1).sum())

    @property
    def bits(self) -> int:
        """Decisions to a code."""
        return bits_of(self.symbols)

    @property
    def slots(self) -> int:
        """Size of the hash table of the contexts."""
        return slots_for(self.positions)
