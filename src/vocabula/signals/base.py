"""The interface of a kind of signal: its axes, its unit, and its valid batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vocabula import registry
from vocabula.errors import DataError, plural
from vocabula.functional._checks import check_tensor


class Signal(ABC):
    """A kind of signal: tensors (B, channels, *extent), with one size per axis.

    By default the values are real and finite; a kind of other values overrides `refuse`,
    `to_values` and `to_stored`. It is independent of files, networks and models. Everything else
    about a kind (its data, files, figures, pictures) is looked up by its name in the layer that
    needs it.

    Attributes:
        axes: names of the axes; () if a signal is a single vector.
        unit: the unit of rates: pixel, vector, second.
        element: what positions along the axes are, where it is not the unit: a sample of sound.
        plural: what messages call a batch of such signals.
        depth: bits of a stored value; None where values are real numbers.
        pads: whether signals of different extents may share a batch, padded; see `collate`.
        centre: the centre of the values, which is subtracted before the encoder.
        sample_rate: elements per second along the last axis, in Hz; None where that is unknown.
        channels: channels of one element.
    """

    component_kind = "signal"
    axes: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]
    element: ClassVar[str] = ""
    plural: ClassVar[str]
    depth: ClassVar[int | None] = None
    pads: ClassVar[bool] = False
    centre: ClassVar[float] = 0.0
    sample_rate: int | None = None
    channels: int

    @property
    def kind(self) -> str:
        """The registered name of the kind, such as ``image``, by which everything else is found."""
        return registry.name_of(self)

    def counted(self, count: int) -> str:
        """A number of such signals in words, such as ``3 images``."""
        return plural(count, self.plural[:-1])

    @abstractmethod
    def units(self, extent: Sequence[int]) -> float:
        """The number of units in a signal of an extent."""

    @property
    def per_unit(self) -> float:
        """The number of elements that make a unit: 1, or the samples of a second."""
        return float(self.sample_rate or 1)

    def shape_in_words(self) -> str:
        """Shape and values of a batch, such as ``(B, 64, time), floating point``."""
        return f"({', '.join(['B', str(self.channels), *self.axes])}), floating point"

    def refuse(self, x: Tensor) -> None:
        """Refuse anything but a batch of such signals: by default, real and finite values.

        Values are not looked at while the model is compiled.

        Raises:
            DataError: another shape, dtype or number of channels, or values out of range.
        """
        check_tensor(self.plural, x, DataError)
        if x.ndim != 2 + len(self.axes) or x.shape[1] != self.channels or 0 in x.shape[2:]:
            wanted = ", ".join(["B", str(self.channels), *self.axes])
            raise DataError(
                f"{self.plural}: expected ({wanted}), got shape {tuple(x.shape)}; "
                "give signals of that shape, or build the model for yours"
            )
        if not x.is_floating_point():
            raise DataError(
                f"{self.plural}: expected floating point, got {x.dtype}; convert with .float()"
            )
        if not torch.compiler.is_compiling() and not _all_finite(x.detach()):
            raise DataError(
                f"{self.plural}: expected finite values, got NaN or infinity; "
                "drop or repair the signals that contain them"
            )

    def to_values(self, x: Tensor) -> Tensor:
        """Accepted signals in floating point: float64 stays, other types become float32."""
        return x if x.dtype == torch.float64 else x.float()

    def to_stored(self, values: Tensor) -> Tensor:
        """Values in the form that files store: by default, float32."""
        return values.float()

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


def _all_finite(x: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    if math.isfinite(x.sum()):  # one pass: neither is lost in a sum
        return True
    return bool(torch.isfinite(x).all())  # the sum of finite values may be infinite
