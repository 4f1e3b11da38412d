"""Discretized logistic mixture likelihood of PixelCNN++, for any number of channels."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import logsigmoid

from vocabula.errors import ShapeError
from vocabula.registry import component
from vocabula.tokenizers.likelihood import (
    LEVELS,
    Likelihood,
    full_precision,
    log1m_exp,
    mean_over,
    to_levels,
)

SMALLEST_LOG_SCALE = -7.0


@component("likelihood", "logistic_mixture")
class LogisticMixture(Likelihood):
    """A mixture of logistic distributions per pixel, each channel conditioned on those before.

    ::

        p(x) = sum_i softmax(logits)_i  prod_c  [sigma((v_c + 1/255 - m_ci) / s_ci)
                                               - sigma((v_c - 1/255 - m_ci) / s_ci)]
        m_ci = mean_ci + sum_{j < c} tanh(coefficient_cji) v_j          v = 2 x - 1

    with the tails in the first and the last bin, so that the probabilities of the 256 values sum
    to 1. The difference is computed exactly as sigma(b) sigma(-a) (1 - exp(a - b)), where the
    original switches to an approximation below 1e-5.

    A pixel of C channels has ``mixtures * (1 + 2 C + C (C - 1) / 2)`` parameters: logits, means,
    log scales, coefficients, in this order, mixtures varying fastest (10 per mixture for RGB).

    Args:
        mixtures: number of logistic distributions per pixel.

    Shape:
        parameters (B, parameter_channels(C), H, W), x (B, C, H, W) in [0, 1].

    Example:
        >>> LogisticMixture(10).parameter_channels(3)
        100

    Source: Salimans et al. 2017, "PixelCNN++", section 2.1 and 2.2; log scales are at least -7.
    The channel coefficients are extended from three channels to any number.
    """

    def __init__(self, mixtures: Annotated[int, Ge(1)] = 10) -> None:
        super().__init__()
        self.mixtures = mixtures

    def parameter_channels(self, channels: int) -> int:
        """Mixtures (1 + 2 C + C (C - 1) / 2)."""
        return self.mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log p(x) per channel of a pixel (), in nats."""
        return mean_over(-self.log_prob(parameters, x).sum(), x.numel())

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p (B, H, W) of each pixel of x, in nats."""
        logits, means, log_scales, coefficients = self._split(parameters)
        level = to_levels(x.to(logits.dtype)).unsqueeze(2)
        value = level * (2 / (LEVELS - 1)) - 1
        inverse_scales = torch.exp(-log_scales)
        total = logits.log_softmax(1)
        for channel in range(means.shape[1]):
            mean = means[:, channel] + _shift(coefficients, value, channel)
            inverse_scale = inverse_scales[:, channel]
            centred = value[:, channel] - mean
            above = (centred + 1 / (LEVELS - 1)) * inverse_scale
            below = (centred - 1 / (LEVELS - 1)) * inverse_scale
            width = 2 / (LEVELS - 1) * inverse_scale
            inside = logsigmoid(above) + logsigmoid(-below) + log1m_exp(width)
            first, last = level[:, channel] == 0, level[:, channel] == LEVELS - 1
            total = total + torch.where(
                first, logsigmoid(above), torch.where(last, logsigmoid(-below), inside)
            )
        return total.logsumexp(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mixture's mean, each channel following the component means of those before it.

        The means are those of the continuous distributions, clipped to [0, 1] per component.
        """
        logits, means, _, coefficients = self._split(parameters)
        chained = torch.zeros_like(means)
        for channel in range(means.shape[1]):
            mean = means[:, channel] + _shift(coefficients, chained, channel)
            chained = chained.index_copy(
                1, torch.tensor([channel], device=means.device), mean.clamp(-1, 1).unsqueeze(1)
            )
        expected = (logits.softmax(1).unsqueeze(1) * chained).sum(2)
        return ((expected + 1) / 2).clamp(0, 1)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, M, ...), means and log scales (B, C, M, ...), coefficients (B, P, M, ...)."""
        mixtures, channels = self.mixtures, self._channels(parameters.shape[1])
        pairs = channels * (channels - 1) // 2
        logits, *rest = full_precision(parameters).split(
            [mixtures, channels * mixtures, channels * mixtures, pairs * mixtures], dim=1
        )
        means, log_scales, coefficients = (
            part.unflatten(1, (count, mixtures))
            for part, count in zip(rest, (channels, channels, pairs), strict=True)
        )
        return logits, means, log_scales.clamp_min(SMALLEST_LOG_SCALE), coefficients.tanh()

    def _channels(self, parameters: int) -> int:
        """The number of image channels that this many parameters describe."""
        channels = 1
        while self.parameter_channels(channels) < parameters:
            channels += 1
        if self.parameter_channels(channels) != parameters:
            raise ShapeError(
                f"likelihood logistic_mixture: expected {self.parameter_channels(channels)} "
                f"parameters per pixel for {channels} channels, got {parameters}; "
                "set the decoder's out_channels to parameter_channels(channels)"
            )
        return channels


def _shift(coefficients: Tensor, values: Tensor, channel: int) -> Tensor:
    """Sum over j < channel of coefficient_(channel, j) values_j: (B, M, H, W), or 0."""
    start = channel * (channel - 1) // 2
    weights = coefficients[:, start : start + channel]
    return (weights * values[:, :channel]).sum(1)
