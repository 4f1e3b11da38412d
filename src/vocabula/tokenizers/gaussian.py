"""Gaussian likelihood: mean squared error in training, a discretized Gaussian for real bits."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from vocabula.functional import distributed
from vocabula.quantizers.precision import KeepDtype
from vocabula.registry import component
from vocabula.tokenizers.likelihood import (
    LEVELS,
    Likelihood,
    full_precision,
    log1m_exp,
    mean_over,
    to_levels,
)

SMALLEST_VARIANCE = 1e-8
SLOWEST_AVERAGE = 0.01


@component("likelihood", "gaussian")
class Gaussian(KeepDtype, Likelihood):
    """Independent Gaussians of one common variance: one parameter, the mean, per channel.

    ::

        loss = mean((m - x)^2) / variance              m = 1/2 + decoder output
        p(k) = Phi((e_{k+1} - m) / s) - Phi((e_k - m) / s)     e_k = (k - 1/2) / 255

    with e_0 = -inf and e_256 = +inf, so that the 256 probabilities sum to 1. The training loss
    does not depend on s; s^2 is `noise_variance`, the running average of the mean squared error
    over training batches (the plain average of the first 100, then a decay of 0.99), which is the
    maximum-likelihood estimate of the noise.

    Args:
        variance: what the mean squared error on the [0, 1] scale is divided by. The published
            VQ-VAE uses the variance of the training data, which is 0.0633 for CIFAR-10.

    Attributes:
        noise_variance: () float32, s^2; before any training 1/12, the variance of uniform noise.

    Shape:
        parameters (B, C, H, W), x (B, C, H, W) in [0, 1].

    Example:
        >>> import torch
        >>> Gaussian().loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
        tensor(0.2500)

    Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", and the authors'
    notebook for the normalized error; discretization as in Salimans et al. 2017 (PixelCNN++).
    """

    kept_buffers = ("noise_variance",)
    noise_variance: Tensor
    noise_updates: Tensor

    def __init__(self, variance: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.variance = variance
        self.register_buffer("noise_variance", torch.tensor(1 / 12, dtype=torch.float32))
        self.register_buffer("noise_updates", torch.tensor(0))

    def parameter_channels(self, channels: int) -> int:
        """One mean per channel."""
        return channels

    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Mean squared error over `variance` (); in training it also updates `noise_variance`."""
        error = full_precision(parameters) + 0.5 - x
        mse = mean_over(error.square().sum(), error.numel())
        if self.training:
            self._learn_noise(mse.detach(), error.numel() > 0)
        return mse / self.variance

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p (B, H, W) in nats of the discretized Gaussian, computed in float64."""
        dtype = torch.float32 if parameters.device.type == "mps" else torch.float64
        mean = self.mean(parameters).to(dtype)
        level = to_levels(x.to(dtype))
        scale = self.noise_variance.to(dtype).clamp_min(SMALLEST_VARIANCE).rsqrt()
        last = LEVELS - 1
        below = (level - 0.5) / last - mean
        above = (level + 0.5) / last - mean
        below = torch.where(level == 0, -torch.inf, below * scale)
        above = torch.where(level == last, torch.inf, above * scale)
        return _log_normal_interval(below, above).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The means, clipped to [0, 1]."""
        return (full_precision(parameters) + 0.5).clamp(0, 1)

    @torch.no_grad()
    def _learn_noise(self, mse: Tensor, counts: bool) -> None:
        """Move the running average towards the mean error of the ranks whose batch counts."""
        given = torch.full_like(mse, float(counts), dtype=torch.float32)
        total, ranks = distributed.all_reduce_sum(torch.stack([mse.float(), given])).unbind()
        average = total / ranks  # not finite without any, and then left out
        weight = (1 / (self.noise_updates + 1).to(average)).clamp_min(SLOWEST_AVERAGE)
        moved = torch.lerp(self.noise_variance, average, weight)
        good = average.isfinite()
        self.noise_variance.copy_(torch.where(good, moved, self.noise_variance))
        self.noise_updates += good.to(self.noise_updates.dtype)


def _log_normal_interval(low: Tensor, high: Tensor) -> Tensor:
    """log(Phi(high) - Phi(low)) for low < high, accurate in both tails."""
    flip = low + high > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    log_high, log_low = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return log_high + log1m_exp(log_high - log_low)
