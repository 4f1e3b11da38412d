"""Sound: one axis of time, sampled at a known rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from vocabula.registry import component
from vocabula.signals.base import Signal


@component("signal", "audio")
class Audio(Signal):
    """Recordings (B, channels, time) in floating point; full scale is [-1, 1].

    Values beyond full scale are accepted: a file of integers clips them when it is written.

    Args:
        sample_rate: samples per second, in Hz.
        channels: 1 for mono, 2 for stereo.
    """

    axes: ClassVar[tuple[str, ...]] = ("time",)
    unit: ClassVar[str] = "second"
    element: ClassVar[str] = "sample"
    plural: ClassVar[str] = "recordings"
    pads: ClassVar[bool] = True
    sample_rate: int

    def __init__(
        self, sample_rate: Annotated[int, Ge(1)], channels: Annotated[int, Ge(1)] = 1
    ) -> None:
        self.sample_rate, self.channels = sample_rate, channels

    def units(self, extent: Sequence[int]) -> float:
        """Seconds."""
        return extent[0] / self.sample_rate

    def random(self, batch: int, extent: Sequence[int]) -> Tensor:
        """Noise (batch, channels, time) within full scale."""
        return torch.rand(batch, self.channels, *extent) * 2 - 1
