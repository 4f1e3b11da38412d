"""Categorical likelihood of samples of sound, companded to 256 levels by the mu-law."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vocabula.registry import component
from vocabula.tokenizers.categorical import log_softmax_at
from vocabula.tokenizers.likelihood import LEVELS, Likelihood, full_precision, mean_over

MU = 255.0


def to_mulaw(x: Tensor) -> Tensor:
    """The levels 0...255, int64, of samples x; those beyond [-1, 1] are clipped.

    ::

        f(x) = sign(x) ln(1 + 255 |x|) / ln 256        k = round(255 (f(x) + 1) / 2)

    Source: ITU-T G.711, in the continuous form of van den Oord et al. 2016, "WaveNet", section 2.2.
    """
    x = x.clamp(-1, 1)
    companded = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return ((companded + 1) * (MU / 2)).round().long()


def from_mulaw(levels: Tensor) -> Tensor:
    """The samples in [-1, 1] that levels 0...255 stand for, float32."""
    companded = levels.float() * (2 / MU) - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(MU)) / MU


@component("likelihood", "mulaw")
class MuLaw(Likelihood):
    """Softmax over the 256 mu-law levels of each sample, independent given the parameters.

    ::

        p(k) = softmax(logits)_k           loss = -log p(k), in nats per sample of a channel

    Probabilities are those of the companded 8-bit samples, so that `bits_per_dim` are the bits per
    sample of such a file.

    Shape:
        parameters (B, 256 C, T), channel by channel; x (B, C, T) in [-1, 1].

    Example:
        >>> MuLaw().bits_per_dim(torch.zeros(1, 256, 9), torch.rand(1, 1, 9))
        tensor([8.])

    Source: van den Oord et al. 2016, "WaveNet", section 2.2.
    """

    def parameter_channels(self, channels: int) -> int:
        """256 logits per channel."""
        return LEVELS * channels

    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Cross-entropy (), in nats per sample of a channel."""
        return mean_over(-self.log_prob(parameters, x).sum(), x.numel())

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p (B, T) of the level of each sample of x, in nats, summed over channels."""
        return log_softmax_at(parameters, to_mulaw(x))

    def mean(self, parameters: Tensor) -> Tensor:
        """The expected samples (B, C, T), in [-1, 1]."""
        p = full_precision(parameters).unflatten(1, (-1, LEVELS)).softmax(2)
        values = from_mulaw(torch.arange(LEVELS, device=p.device)).to(p)
        return (p * values.reshape(-1, *[1] * (p.ndim - 3))).sum(2)
