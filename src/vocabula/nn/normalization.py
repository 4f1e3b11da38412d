"""Group normalization that names a wrong option and accepts images of a single pixel."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError


class GroupNorm(nn.GroupNorm):
    """Normalize groups of channels per image: y = (x - mean) / sqrt(var + 1e-6) * weight + bias.

    Unlike ``torch.nn.GroupNorm`` it takes a 1 x 1 image with one channel per group (the result is
    the bias) instead of raising, so that images of any size pass.

    Args:
        groups: number of groups, a divisor of `channels`.
        channels: number of channels.
        owner: the component that the message names.

    Shape:
        (B, channels, H, W) -> the same.

    Raises:
        OptionError: `groups` does not divide `channels`.

    Source: Wu & He 2018, "Group Normalization"; epsilon 1e-6 as in VQ-GAN.
    """

    def __init__(self, groups: int, channels: int, *, owner: str = "GroupNorm") -> None:
        if channels % groups:
            raise OptionError(
                f"{owner}.groups: expected a divisor of its {channels} channels, got {groups}; "
                f"use groups={gcd(groups, channels)} or a width that {groups} divides"
            )
        super().__init__(groups, channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, channels, H, W)."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
