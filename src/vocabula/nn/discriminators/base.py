"""The interface of discriminators, and means that leave padding out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Normalization = Literal["spectral", "none"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a discriminator makes of signals, at one resolution.

    Attributes:
        logits: (B, 1, *grid), higher for what looks real.
        features: of its layers, each (B, channels, *grid of the layer).
        inside: (B, 1, *axes of a grid) bool, each axis that of the logits or 1: the positions that
            are inside a signal; None if all are.
    """

    logits: Tensor
    features: tuple[Tensor, ...]
    inside: Tensor | None = None


class Discriminator(nn.Module, ABC):
    """Maps signals (B, C, *extent) to judgements, one for each of its resolutions.

    Signals of a padded batch are 0 outside; a mask (B, *extent) bool says where they are.

    Attributes:
        field: elements along each axis that one logit sees, at the largest resolution.
    """

    field: int

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> list[Judgement]:
        """The judgements of signals x."""


class DiscriminatorSettings(ABC):
    """Settings that become a `Discriminator` once the channels of the signal are known.

    Attributes:
        axes: of the signals that it takes.
    """

    component_kind: ClassVar[str] = "discriminator"
    axes: ClassVar[int]

    @abstractmethod
    def build(self, channels: int) -> Discriminator:
        """The discriminator of signals with so many channels."""


def normalized(layer: nn.Module, normalization: Normalization) -> nn.Module:
    """The layer, whose matrix has a largest singular value of 1 if so wanted.

    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks".
    """
    return layer if normalization == "none" else spectral_norm(layer)


def mean_inside(x: Tensor, inside: Tensor | None) -> Tensor:
    """The mean () of values (B, D, *grid) at the positions inside of signals; 0 if there are none.

    Args:
        x: the values.
        inside: see `Judgement`; of another grid than that of x it is read at the nearest positions.
    """
    if inside is None:
        return x.mean()
    weight = sampled(inside, x.shape[2:]).to(x.dtype)
    total = weight.expand_as(x).sum()
    return (x * weight).sum() / total.clamp_min(1)


def sampled(mask: Tensor, grid: Sequence[int]) -> Tensor:
    """A mask (B, 1, *extent) at the middle of every position of a grid; axes of size 1 stay.

    Example:
        >>> mask = torch.tensor([[[True, True, True, True, False, False, False, False]]])
        >>> sampled(mask, [4]).long().tolist()
        [[[1, 1, 0, 0]]]
    """
    for axis, count in enumerate(grid, start=2):
        size = mask.shape[axis]
        if size > 1 and size != count:
            middle = torch.arange(count, device=mask.device, dtype=torch.float64) + 0.5
            places = (middle * (size / count)).long().clamp_max(size - 1)
            mask = mask.index_select(axis, places)
    return mask
