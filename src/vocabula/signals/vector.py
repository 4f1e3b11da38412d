"""Vectors: no axis, any real values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from annotated_types import Ge

from vocabula.registry import component
from vocabula.signals.base import Signal


@component("signal", "vector")
class Vector(Signal):
    """Vectors (B, channels) in floating point: embeddings, states, actions, rows of a table.

    Args:
        channels: width of a vector.
    """

    axes: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = "vector"
    plural: ClassVar[str] = "vectors"

    def __init__(self, channels: Annotated[int, Ge(1)]) -> None:
        self.channels = channels

    def units(self, extent: Sequence[int]) -> float:
        """One."""
        return 1.0
