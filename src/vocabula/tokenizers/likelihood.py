"""The interface of likelihoods and distortions, and functions that they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from vocabula.tokenizers.extent import over_extent
from vocabula.tokenizers.masks import Blocks

LEVELS = 256


class Likelihood(nn.Module, ABC):
    """A distribution p(x | parameters) over 8-bit images, its parameters made by a decoder.

    Images x are (B, C, H, W) in [0, 1]; they stand for the integers k = round(255 x), and
    probabilities are those of k, so that bits are the bits of the real 8-bit data.
    Parameters are (B, parameter_channels(C), H, W).

    Attributes:
        probabilistic: whether there are probabilities. A distortion has none: its `log_prob` is
            NaN, and so are bits per dimension.
    """

    component_kind = "likelihood"
    probabilistic: ClassVar[bool] = True

    @abstractmethod
    def parameter_channels(self, channels: int) -> int:
        """Parameters per pixel for images of `channels` channels."""

    @abstractmethod
    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """The reconstruction loss (), a mean over the elements of x; 0 for an empty batch."""

    def loss_inside(self, parameters: Tensor, x: Tensor, blocks: Blocks) -> Tensor:
        """The loss () of a padded batch: what is inside the signals, as one signal.

        A loss that looks at neighbouring elements together overrides this.

        Args:
            parameters: (B, parameter_channels(C), *extent).
            x: (B, C, *extent).
            blocks: where the signals are.
        """
        return self.loss(blocks.elements(parameters), blocks.elements(x))

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p (B, H, W) of each pixel of x, summed over its channels, in nats; NaN without p."""
        return torch.full_like(x[:, 0], math.nan)

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """The expected image (B, C, H, W), in [0, 1]."""

    def bits_per_dim(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log2 p(x) / (C H W): bits (B,) per channel of a pixel of the 8-bit image."""
        return bits_per_dim(self.log_prob(parameters, x), x.shape[1:].numel())


def bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """Bits (B,) per dimension, of log p (B, H, W) in nats of each pixel of an image."""
    return -over_extent(log_prob) / (math.log(2) * dims)


def to_levels(x: Tensor) -> Tensor:
    """The integers 0...255, as floating point, nearest to images x in [0, 1]."""
    return (x * (LEVELS - 1)).round().clamp(0, LEVELS - 1)


def full_precision(parameters: Tensor) -> Tensor:
    """Parameters in float32, or in float64 if they have that type."""
    return parameters if parameters.dtype == torch.float64 else parameters.float()


def mean_over(total: Tensor, count: int) -> Tensor:
    """A sum divided by its count; 0 where nothing was summed."""
    return total / max(count, 1)


def log1m_exp(d: Tensor) -> Tensor:
    """log(1 - exp(-d)) for d > 0, accurate for small and large d.

    Source: Mächler 2012, "Accurately computing log(1 - exp(-|a|))".
    """
    small = d < math.log(2)
    # the unused branch gets a harmless argument, so that its gradient is finite
    near = torch.log(-torch.expm1(-torch.where(small, d, 1.0)))
    far = torch.log1p(-torch.exp(-torch.where(small, 1.0, d)))
    return torch.where(small, near, far)
