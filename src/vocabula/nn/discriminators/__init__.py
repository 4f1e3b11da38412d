"""Discriminators: networks that learn to tell reconstructions from signals."""

from __future__ import annotations

from vocabula.nn.discriminators.base import (
    Discriminator,
    DiscriminatorSettings,
    Judgement,
    mean_inside,
)
from vocabula.nn.discriminators.patch import PatchDiscriminator, PatchSettings
from vocabula.nn.discriminators.spectrum import SpectrumDiscriminator, SpectrumSettings

__all__ = [
    "Discriminator",
    "DiscriminatorSettings",
    "Judgement",
    "PatchDiscriminator",
    "PatchSettings",
    "SpectrumDiscriminator",
    "SpectrumSettings",
    "mean_inside",
]
