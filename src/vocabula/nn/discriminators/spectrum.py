"""The spectrum discriminator: each logit judges a part of a spectrum, at several windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from vocabula.functional.mel import frame_count
from vocabula.functional.modes import without_autocast
from vocabula.nn.discriminators.base import (
    Discriminator,
    DiscriminatorSettings,
    Judgement,
    Normalization,
    normalized,
)
from vocabula.registry import component

_SLOPE = 0.2
_OVERLAP = 4
"""Windows that see each sample."""
_SOFT = 1e-3
"""Magnitudes well below it are lifted all alike."""


class _OneWindow(nn.Module):
    """Convolutions over frequency and time of the spectrum with one window."""

    curve: Tensor

    def __init__(
        self,
        channels: int,
        window: int,
        hidden: int,
        layers: int,
        normalization: Normalization,
        power: float,
    ) -> None:
        super().__init__()
        self.window, self.hop, self.power = window, max(1, window // _OVERLAP), power
        self.register_buffer("curve", torch.hann_window(window), persistent=False)
        first = nn.Conv2d(2 * channels, hidden, (9, 3), padding=(4, 1))
        halving = [nn.Conv2d(hidden, hidden, (9, 3), (2, 1), (4, 1)) for _ in range(layers)]
        self.convolutions = nn.ModuleList(
            normalized(one, normalization) for one in [first, *halving]
        )
        self.last = normalized(nn.Conv2d(hidden, 1, 3, padding=1), normalization)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Judgement:
        """The judgement of signals x (B, C, T)."""
        frames = frame_count(x.shape[-1], self.hop)
        x = self._spectrum(x, frames)
        features = []
        for layer in self.convolutions:
            x = leaky_relu(layer(x), _SLOPE)
            features.append(x)
        inside = None if mask is None else mask[:, None, None, :: self.hop]
        return Judgement(self.last(x), tuple(features), inside)

    def _spectrum(self, x: Tensor, frames: int) -> Tensor:
        """Real and imaginary parts (B, 2 C, W // 2 + 1, frames); a sine of amplitude a has a^p."""
        with without_autocast(x.device):
            before = self.window // 2
            after = (frames - 1) * self.hop + self.window - before - x.shape[-1]
            flat = pad(x.float().flatten(0, 1), (before, max(0, after)))
            curve = self.curve.float()
            found = torch.stft(
                flat, self.window, self.hop, window=curve, center=False, return_complex=True
            )[..., :frames]
            found = found.unflatten(0, x.shape[:2]) * (2 / curve.sum())
            parts = torch.cat([found.real, found.imag], 1)
            if self.power == 1:
                return parts
            squares = (found.real.square() + found.imag.square() + _SOFT**2).repeat(1, 2, 1, 1)
            return parts * squares ** ((self.power - 1) / 2)


class SpectrumDiscriminator(Discriminator):
    """One network for each window of the short-time spectrum, whose phase they see.

    ::

        x --STFT of window W, real and imaginary--> conv, leaky relu --[conv to half the
            frequencies, leaky relu] x layers--> conv --> logits

    Args:
        channels: of the signal.
        windows: samples of each window; frames are a quarter of it apart.
        hidden: channels of the layers.
        layers: how often the frequencies are halved.
        normalization: "spectral" or "none".
        power: p; magnitudes are raised to it, and phases stay.

    Shape:
        (B, channels, T) -> for each window W logits (B, 1, near W / 2^(layers + 1), ceil(4 T / W)).

    Example:
        >>> net = SpectrumDiscriminator(1, windows=(64,), hidden=4, layers=2)
        >>> net.field, net(torch.rand(1, 1, 640))[0].logits.shape
        (192, torch.Size([1, 1, 9, 40]))

    Source: Défossez et al. 2022, "High Fidelity Neural Audio Compression", the multi-scale STFT
    discriminator, without its dilations over time.
    """

    def __init__(
        self,
        channels: int,
        *,
        windows: Sequence[int] = (1024, 512, 256),
        hidden: int = 32,
        layers: int = 3,
        normalization: Normalization = "spectral",
        power: float = 1.0,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            _OneWindow(channels, window, hidden, layers, normalization, power) for window in windows
        )
        longest = max(windows)  # a logit sees one more frame on each side for every convolution
        self.field = longest + 2 * (layers + 2) * max(1, longest // _OVERLAP)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> list[Judgement]:
        """The judgements of signals x, one for each window."""
        return [network(x, mask) for network in self.networks]


@component("discriminator", "spectrum")
@dataclass(kw_only=True)
class SpectrumSettings(DiscriminatorSettings):
    """A `SpectrumDiscriminator`, for signals of one axis.

    Args:
        windows: samples of each window of the short-time spectrum.
        hidden: channels of the layers.
        layers: how often the frequencies are halved.
        normalization: "spectral" holds the largest singular value of every layer at 1.
        power: magnitudes are raised to it. Recordings are much softer than full scale, and layers
            whose norm is held cannot amplify them: with 0.3 the discriminator learns many times
            faster.
    """

    axes: ClassVar[int] = 1

    windows: Annotated[tuple[Annotated[int, Ge(4)], ...], MinLen(1)] = (1024, 512, 256)
    hidden: Annotated[int, Ge(1)] = 32
    layers: Annotated[int, Ge(1), Le(6)] = 3
    normalization: Normalization = "spectral"
    power: Annotated[float, Gt(0), Le(1)] = 1.0

    def build(self, channels: int) -> Discriminator:
        """The discriminator of signals with so many channels."""
        return SpectrumDiscriminator(
            channels,
            windows=self.windows,
            hidden=self.hidden,
            layers=self.layers,
            normalization=self.normalization,
            power=self.power,
        )
