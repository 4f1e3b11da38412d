"""Feature matching: the distance between what a discriminator sees in two signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from vocabula.nn.discriminators.base import Judgement, mean_inside
from vocabula.nn.perceptual.base import Perceptual
from vocabula.registry import component

_FLOOR = 1e-4
"""The least mean magnitude of features: the distance of silent features stays finite."""


@component("perceptual", "features")
class FeatureMatching(Perceptual):
    """Relative L1 of the discriminator's features, a mean over its layers.

    ::

        distance = mean_layers  mean |f(output) - f(target)| / mean |f(target)|

    It follows the ramp of the adversary. It takes any signal that the discriminator takes.

    Args:
        weight: of the distance in the loss.

    Source: Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric";
    relative as in Défossez et al. 2022, "High Fidelity Neural Audio Compression", equation 2.
    """

    needs_adversary: ClassVar[bool] = True

    def __init__(self, weight: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, output: Sequence[Judgement], target: Sequence[Judgement]) -> Tensor:
        """The distance () of what the discriminator gave for each of the two signals."""
        parts = []
        for one, two in zip(output, target, strict=True):
            for mine, theirs in zip(one.features, two.features, strict=True):
                mine, theirs = mine.float(), theirs.detach().float()
                size = mean_inside(theirs.abs(), two.inside).clamp_min(_FLOOR)
                parts.append(mean_inside((mine - theirs).abs(), two.inside) / size)
        return torch.stack(parts).mean()
