"""What a kind of signal is: its axes, its unit, and what is a valid batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor


class Signal(ABC):
    """A kind of signal: tensors (B, channels, *extent), one size an axis.

    It knows no file, no network and no model. All else about a kind (its data, files, figures,
    pictures) is looked up by the signal's name in the layer that needs it.

    Attributes:
        axes: names of the axes; () where a signal is one vector.
        unit: what a rate is counted in: pixel, vector.
        plural: what messages call a batch of such signals.
        centre: what the values lie around; the encoder sees them without it.
        channels: of one element.
    """

    component_kind = "signal"
    axes: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]
    plural: ClassVar[str]
    centre: ClassVar[float] = 0.0
    channels: int

    @abstractmethod
    def units(self, extent: Sequence[int]) -> float:
        """How many units a signal of an extent has."""

    @abstractmethod
    def refuse(self, x: Tensor) -> None:
        """Refuse what is no batch of such signals.

        Values are not looked at while the model is compiled.

        Raises:
            DataError: another shape, dtype or number of channels, or values out of range.
        """

    @abstractmethod
    def to_values(self, x: Tensor) -> Tensor:
        """Signals that `refuse` let pass, in floating point: float64 stays, else float32."""

    @abstractmethod
    def to_stored(self, values: Tensor) -> Tensor:
        """Values as files hold them."""

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
