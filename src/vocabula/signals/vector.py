"""Vectors: no axis, any real values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from vocabula.errors import DataError
from vocabula.functional._checks import check_tensor
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

    def shape_in_words(self) -> str:
        """``(B, 64), floating point``."""
        return f"(B, {self.channels}), floating point"

    def refuse(self, x: Tensor) -> None:
        """Refuse another shape, integers, and values that are not finite.

        Raises:
            DataError: what is wrong, and what to do.
        """
        check_tensor("vectors", x, DataError)
        if x.ndim != 2 or x.shape[1] != self.channels:
            raise DataError(
                f"vectors: expected (B, {self.channels}), got shape {tuple(x.shape)}; "
                "give rows of that width, or build the model for yours"
            )
        if not x.is_floating_point():
            raise DataError(
                f"vectors: expected floating point, got {x.dtype}; convert with .float()"
            )
        if not torch.compiler.is_compiling() and not bool(x.detach().isfinite().all()):
            raise DataError(
                "vectors: expected finite values, got NaN or infinity; "
                "drop or repair the rows that contain them"
            )

    def to_values(self, x: Tensor) -> Tensor:
        """Checked vectors: float64 stays, other types become float32."""
        return x if x.dtype == torch.float64 else x.float()

    def to_stored(self, values: Tensor) -> Tensor:
        """The vectors in float32."""
        return values.float()
