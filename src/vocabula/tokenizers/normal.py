"""Normal likelihood: continuous real values with one common variance."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from vocabula.registry import component
from vocabula.tokenizers.likelihood import Likelihood, full_precision, mean_over


@component("likelihood", "normal")
class Normal(Likelihood):
    """Independent normal distributions of one fixed variance: one parameter, the mean, per channel.

    ::

        loss = mean((m - x)^2) / variance
        log p(x) = -(m - x)^2 / (2 variance) - ln(2 pi variance) / 2

    Real values have a density, so `log_prob` is in nats of a density: its bits compare models of
    the same values, and are not bits of a file.

    Args:
        variance: of the noise, on the scale of the values.

    Shape:
        parameters (B, C, *extent), x (B, C, *extent).

    Example:
        >>> import torch
        >>> Normal().loss(torch.zeros(2, 4), torch.ones(2, 4))
        tensor(1.)
    """

    def __init__(self, variance: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.variance = variance

    def parameter_channels(self, channels: int) -> int:
        """One mean per channel."""
        return channels

    def loss(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Mean squared error over `variance` ()."""
        error = full_precision(parameters) - x
        return mean_over(error.square().sum(), error.numel()) / self.variance

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log density (B, *extent) in nats, summed over channels."""
        error = full_precision(parameters) - x
        constant = math.log(2 * math.pi * self.variance)
        return -0.5 * (error.square() / self.variance + constant).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mean (B, C, *extent)."""
        return full_precision(parameters)
