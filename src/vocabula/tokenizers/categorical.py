"""Categorical likelihood: a free probability for each of the 256 values of every channel."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.registry import component
from vocabula.tokenizers.likelihood import (
    LEVELS,
    Likelihood,
    full_precision,
    mean_over,
    to_levels,
)


@component("likelihood", "categorical")
class Categorical(Likelihood):
    """Softmax over the 256 values of each channel, channels independent given the parameters.

    ::

        p(k) = softmax(logits)_k           loss = -log p(k), in nats per channel of a pixel

    Shape:
        parameters (B, 256 C, H, W), channel by channel; x (B, C, H, W) in [0, 1].

    Example:
        >>> import torch
        >>> Categorical().bits_per_dim(torch.zeros(1, 256, 2, 2), torch.rand(1, 1, 2, 2))
        tensor([8.])

    Source: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.
    """

    def parameter_channels(self, channels: int) -> int:
        """256 logits per channel."""
        return LEVELS * channels

    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Cross-entropy (), in nats per channel of a pixel."""
        return mean_over(-self.log_prob(parameters, x).sum(), x.numel())

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p (B, H, W) of each pixel of x, in nats."""
        return log_softmax_at(parameters, to_levels(x).long())

    def mean(self, parameters: Tensor) -> Tensor:
        """The mean of each channel's distribution, in [0, 1]."""
        p = full_precision(parameters).unflatten(1, (-1, LEVELS)).softmax(2)
        grid = torch.linspace(0, 1, LEVELS, dtype=p.dtype, device=p.device)
        return (p * grid.reshape(-1, *[1] * (p.ndim - 3))).sum(2).clamp(0, 1)


def log_softmax_at(parameters: Tensor, levels: Tensor) -> Tensor:
    """Log p (B, *extent) in nats of integers 0...255, summed over the channels.

    Args:
        parameters: (B, 256 C, *extent) logits, channel by channel.
        levels: (B, C, *extent) int64.
    """
    log_p = full_precision(parameters).unflatten(1, (-1, LEVELS)).log_softmax(2)
    return log_p.gather(2, levels.unsqueeze(2)).squeeze(2).sum(1)
