"""The patch discriminator: each logit judges a patch of a signal with two axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, pad

from vocabula.nn.discriminators.base import (
    Discriminator,
    DiscriminatorSettings,
    Judgement,
    Normalization,
    normalized,
    sampled,
)
from vocabula.registry import component

_SLOPE = 0.2
_TAPS = (0.125, 0.375, 0.375, 0.125)
_WIDEST = 8
"""Channels of a layer over those of the first, at most."""


class PatchDiscriminator(Discriminator):
    """Convolutions that halve the sides behind a low-pass filter, and a logit per patch.

    ::

        x --[conv 3, leaky relu, blur to half the size] x layers--> conv 3, leaky relu
          --> conv 3 --> logits

    Plain strides alias: such a discriminator can be fooled by grids of dots, which then show up in
    reconstructions. There is no batch normalization: signals are judged one by one.

    Args:
        channels: of the signal.
        hidden: channels of the first layer; each layer doubles them, up to 8 times as many.
        layers: how often the sides are halved.
        normalization: "spectral" or "none".

    Shape:
        (B, channels, H, W) -> logits (B, 1, H', W'), H' near H / 2^layers.

    Example:
        >>> net = PatchDiscriminator(3, hidden=4, layers=2)
        >>> net.field, net(torch.rand(1, 3, 32, 32))[0].logits.shape
        (32, torch.Size([1, 1, 8, 8]))

    Source: Isola et al. 2017, "Image-to-image translation with conditional adversarial networks";
    the low-pass filter as in Zhang 2019, "Making convolutional networks shift-invariant again",
    with the taps of Karras et al. 2020 (StyleGAN2).
    """

    taps: Tensor

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = 64,
        layers: int = 3,
        normalization: Normalization = "spectral",
    ) -> None:
        super().__init__()
        widths = [channels, *(hidden * min(2**i, _WIDEST) for i in range(layers + 1))]
        self.convolutions = nn.ModuleList(
            normalized(nn.Conv2d(a, b, 3, padding=1), normalization) for a, b in pairwise(widths)
        )
        self.last = normalized(nn.Conv2d(widths[-1], 1, 3, padding=1), normalization)
        row = torch.tensor(_TAPS)
        self.register_buffer("taps", (row[:, None] * row)[None, None], persistent=False)
        field, step = 1, 1
        for _ in range(layers):
            field, step = field + 2 * step + (len(_TAPS) - 1) * step, 2 * step
        self.field = field + 4 * step

    def forward(self, x: Tensor, mask: Tensor | None = None) -> list[Judgement]:
        """The judgement of signals x, as a list of one."""
        *halving, deep = self.convolutions
        features = []
        for layer in halving:
            x = self._halved(leaky_relu(layer(x), _SLOPE))
            features.append(x)
        x = leaky_relu(deep(x), _SLOPE)
        features.append(x)
        logits = self.last(x)
        inside = None if mask is None else sampled(mask.unsqueeze(1), logits.shape[2:])
        return [Judgement(logits, tuple(features), inside)]

    def _halved(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.taps.to(x.dtype).expand(channels, -1, -1, -1)
        return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=channels)


@component("discriminator", "patch")
@dataclass(kw_only=True)
class PatchSettings(DiscriminatorSettings):
    """A `PatchDiscriminator`, for signals of two axes.

    Args:
        hidden: channels of the first layer; each layer doubles them, up to 8 times as many.
        layers: how often the sides are halved: a logit sees 14, 32, 68 or 140 elements along each
            axis with 1, 2, 3 or 4.
        normalization: "spectral" holds the largest singular value of every layer at 1.
    """

    axes: ClassVar[int] = 2

    hidden: Annotated[int, Ge(1)] = 64
    layers: Annotated[int, Ge(1), Le(6)] = 3
    normalization: Normalization = "spectral"

    def build(self, channels: int) -> Discriminator:
        """The discriminator of signals with so many channels."""
        return PatchDiscriminator(
            channels, hidden=self.hidden, layers=self.layers, normalization=self.normalization
        )
