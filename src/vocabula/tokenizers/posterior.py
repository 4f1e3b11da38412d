"""Diagnostics of posterior collapse: which dimensions of a Gaussian posterior carry anything."""

from __future__ import annotations

import torch
from torch import Tensor

ACTIVE_VARIANCE = 0.01


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) per element, in nats.

    ``(mean^2 + variance - 1 - log variance) / 2``

    Source: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", appendix B.
    """
    return (mean.square() + torch.expm1(log_variance) - log_variance) / 2


class PosteriorStatistics:
    """Gathers, batch by batch, how much each latent dimension depends on the data.

    A dimension is active when the variance over the data of its posterior mean exceeds 0.01; a
    collapsed one repeats the prior for any input. Positions of a grid count as data. Sums are
    float64, combined as in Chan et al. 1983, so that means far from 0 lose no precision.

    Args:
        dim: number of latent dimensions D.

    Attributes:
        rows: vectors gathered so far.

    Example:
        >>> statistics = PosteriorStatistics(1)
        >>> statistics.add(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
        >>> statistics.mean_variance, statistics.active_units, statistics.kl_per_dimension
        (tensor([1.], dtype=torch.float64), 1, tensor([0.5000], dtype=torch.float64))

    Source: Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2.
    """

    def __init__(self, dim: int) -> None:
        self.rows = 0
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._squares = torch.zeros(dim, dtype=torch.float64)
        self._kl = torch.zeros(dim, dtype=torch.float64)

    @torch.no_grad()
    def add(self, mean: Tensor, log_variance: Tensor) -> None:
        """Count posterior means and log variances, each (*batch, D)."""
        mean = mean.detach().reshape(-1, mean.shape[-1]).cpu().double()
        log_variance = log_variance.detach().reshape(mean.shape).cpu().double()
        new = len(mean)
        if not new:
            return
        total = self.rows + new
        batch_mean = mean.mean(0)
        shift = batch_mean - self._mean
        self._squares += (mean - batch_mean).square().sum(0)
        self._squares += shift.square() * (self.rows * new / total)
        self._mean += shift * (new / total)
        self._kl += kl_to_standard_normal(mean, log_variance).sum(0)
        self.rows = total

    @property
    def mean_variance(self) -> Tensor:
        """Variance (D,) over the data of the posterior mean."""
        return self._squares / max(self.rows, 1)

    @property
    def active_units(self) -> int:
        """Number of dimensions whose `mean_variance` exceeds 0.01."""
        return int((self.mean_variance > ACTIVE_VARIANCE).sum())

    @property
    def kl_per_dimension(self) -> Tensor:
        """KL (D,) to the prior averaged over the data, in nats."""
        return self._kl / max(self.rows, 1)
