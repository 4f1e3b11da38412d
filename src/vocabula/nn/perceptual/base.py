"""The interface of perceptual distances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional.modes import without_autocast

COLORS = (1, 3)
"""Channels of the signals that perceptual distances take: grey, or red, green and blue."""


class Perceptual(nn.Module, ABC):
    """A term that is added to the reconstruction loss of a training.

    Attributes:
        needs_adversary: whether it compares what a discriminator sees.
        weight: its factor in the loss.
        least: the smallest side that it takes.
    """

    component_kind = "perceptual"
    needs_adversary: ClassVar[bool] = False
    weight: float
    least: int = 1

    def check(self, axes: int, channels: int, extent: Sequence[int]) -> None:
        """Refuse signals that it cannot compare; accepts all unless overridden.

        Args:
            axes: of the signal.
            channels: of the signal.
            extent: of the signals, or crops, of a training.

        Raises:
            OptionError: they have other axes or channels, or are too small.
        """


class PerceptualLoss(Perceptual):
    """A distance of signals (B, C, H, W) in [0, 1], C one of `COLORS`, in float32.

    Attributes:
        name: what messages call it.
    """

    name: ClassVar[str]

    @abstractmethod
    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance (), a mean over the batch, of float32 signals without autocast."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance () of signals (B, C, H, W); it has a gradient to the first."""
        with without_autocast(output.device):
            return self.distance(output.float(), target.float())

    def check(self, axes: int, channels: int, extent: Sequence[int]) -> None:
        """Refuse signals that are no pictures, or too small; see `Perceptual.check`."""
        if axes != 2:
            raise OptionError(
                f"perceptual: expected signals of two axes for {self.name}, got {axes}; use "
                "perceptual=features with an adversary"
            )
        if channels not in COLORS:
            raise OptionError(
                f"perceptual: expected 1 or 3 channels for {self.name}, got {channels}; use "
                "perceptual=features with an adversary"
            )
        if min(extent) < self.least:
            raise OptionError(
                f"perceptual: expected sides of at least {self.least} for {self.name}, got "
                f"{' x '.join(map(str, extent))}; use a larger data.crop"
            )
