"""The interface of a kind of signal: its axes, its unit, and its valid batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vocabula import registry


class Signal(ABC):
    """A kind of signal: tensors (B, channels, *extent), with one size per axis.

    It is independent of files, networks and models. Everything else about a kind (its data, files,
    figures, pictures) is looked up by its name in the layer that needs it.

    Attributes:
        axes: names of the axes; () if a signal is a single vector.
        unit: the unit of rates: pixel, vector.
        plural: what messages call a batch of such signals.
        depth: bits of a stored value; None where values are real numbers.
        centre: the centre of the values, which is subtracted before the encoder.
        channels: channels of one element.
    """

    component_kind = "signal"
    axes: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]
    plural: ClassVar[str]
    depth: ClassVar[int | None] = None
    centre: ClassVar[float] = 0.0
    channels: int

    @property
    def kind(self) -> str:
        """The registered name of the kind, such as ``image``, by which everything else is found."""
        return registry.name_of(self)

    @abstractmethod
    def units(self, extent: Sequence[int]) -> float:
        """The number of units in a signal of an extent."""

    @abstractmethod
    def shape_in_words(self) -> str:
        """Shape and values of a batch, such as ``(B, 3, H, W), uint8 or in [0, 1]``."""

    @abstractmethod
    def refuse(self, x: Tensor) -> None:
        """Refuse anything but a batch of such signals.

        Values are not looked at while the model is compiled.

        Raises:
            DataError: another shape, dtype or number of channels, or values out of range.
        """

    @abstractmethod
    def to_values(self, x: Tensor) -> Tensor:
        """Accepted signals in floating point: float64 stays, other types become float32."""

    @abstractmethod
    def to_stored(self, values: Tensor) -> Tensor:
        """Values in the form that files store."""

    def random(self, batch: int, extent: Sequence[int]) -> Tensor:
        """Random signals (batch, channels, *extent), as `check` accepts them: normal values."""
        return torch.randn(batch, self.channels, *extent)

    def check(self, x: Tensor) -> Tensor:
        """Signals in floating point, checked.

        Args:
            x: (B, channels, *extent).

        Returns:
            The same shape in float32, or float64 for float64 input.

        Raises:
            DataError: see `refuse`.
        """
        self.refuse(x)
        return self.to_values(x)
