"""The continuous bottleneck of a variational autoencoder, behind the quantizers' interface."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import ShapeError
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.registry import component
from vocabula.tokenizers.extent import over_extent
from vocabula.tokenizers.posterior import PosteriorStatistics, kl_to_standard_normal
from vocabula.types import Quantized

LOG_VARIANCE_RANGE = (-30.0, 20.0)


@component("quantizer", "gaussian")
class GaussianBottleneck(Bottleneck):
    """Reparametrized Gaussian with a KL term: the VAE as a baseline for discrete bottlenecks.

    ::

        mean, log_variance = W z + b           values = mean + exp(log_variance / 2) * noise
        KL_d = (mean_d^2 + variance_d - 1 - log variance_d) / 2              in nats
        loss = kl_weight * mean_d max(mean_rows KL_d, free_bits ln 2)

    In training the values are a sample, in evaluation the mean. The term in `losses`, ``kl``, is
    the mean of KL_d over rows and dimensions in nats, without weight or free bits. With a Gaussian
    likelihood of noise variance s^2 and training loss MSE / v, the evidence lower bound is the
    weight ``kl_weight = 2 s^2 (h w dim) / (v C H W)``: about 5e-3 for CIFAR-10 at s^2 = 0.002,
    v = 1, 8 x 8 positions and 64 dimensions.

    Args:
        dim: width D of the vectors in and out.
        kl_weight: factor of the KL term in the loss.
        free_bits: bits per dimension that cost nothing, against posterior collapse.

    Attributes:
        codebook_sizes: (), for there are no books.
        code_shape: (0,): codes are empty.

    Shape:
        z (*batch, D) -> values (*batch, D), codes (*batch, 0) int64.

    Example:
        >>> import torch
        >>> GaussianBottleneck(8)(torch.zeros(2, 4, 8)).codes.shape
        torch.Size([2, 4, 0])

    Source: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", equation 10 and appendix B;
    free bits: Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive
    Flow", section 3.3 (there in nats, here in bits). Log variances are clamped to [-30, 20].
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        *,
        kl_weight: Annotated[float, Ge(0)] = 1e-3,
        free_bits: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.kl_weight = kl_weight
        self.free_bits = free_bits
        self.project = nn.Linear(dim, 2 * dim)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Quantized:
        """Sample (training) or average (evaluation) the posterior of vectors z (*batch, D).

        Args:
            z: (*batch, D) floating point.
            mask: (*batch) bool; rows that are False take part in no loss.

        Raises:
            ShapeError: if the width or the mask's shape is wrong.
        """
        self._check(z)
        valid = self._valid(z, mask)
        # a row that does not count becomes 0, lest its NaN reach the gradient
        mean, log_variance = self.posterior(torch.where(valid.unsqueeze(-1), z, 0))
        values = mean
        if self.training:
            values = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        kl = kl_to_standard_normal(mean, log_variance) * valid.unsqueeze(-1)
        per_dim = kl.reshape(-1, self.dim).sum(0) / valid.sum().clamp_min(1)
        floor = self.free_bits * math.log(2)
        loss = self.kl_weight * per_dim.clamp_min(floor).mean() * valid.any()
        codes = torch.empty(*z.shape[:-1], 0, dtype=torch.int64, device=z.device)
        return Quantized(values.to(z.dtype), codes, loss, {"kl": per_dim.mean()})

    def posterior(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (*batch, D) in float32 or float64, of vectors z (*batch, D).

        Raises:
            ShapeError: if the width is wrong.
        """
        self._check(z)
        projected = self.project(z.to(self.project.weight.dtype))
        if projected.dtype != torch.float64:
            projected = projected.float()
        mean, log_variance = projected.chunk(2, dim=-1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def sample(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One sample (*batch, D) of the posterior of z, in every mode; seeded by `generator`."""
        mean, log_variance = self.posterior(z)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device="cpu")
        noise = noise.to(mean.device)
        return (mean + torch.exp(log_variance / 2) * noise).to(z.dtype)

    def kl_bits(self, z: Tensor) -> Tensor:
        """KL divergence (*batch) of the posterior of z to the prior N(0, 1), in bits."""
        return kl_to_standard_normal(*self.posterior(z)).sum(-1) / math.log(2)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Empty codes (*batch, 0), and the mean (*batch, D) of the posterior of vectors z."""
        codes = torch.empty(*z.shape[:-1], 0, dtype=torch.int64, device=z.device)
        return codes, self.posterior(z)[0]

    def latent_bits(self, z: Tensor) -> Tensor:
        """KL divergence (B,) of the posteriors of all vectors of signals (B, *grid, D), in bits."""
        return over_extent(self.kl_bits(z))

    @torch.no_grad()
    def statistics(self, z: Tensor) -> PosteriorStatistics:
        """Collapse diagnostics of vectors z (*batch, D): active units and KL per dimension."""
        gathered = PosteriorStatistics(self.dim)
        gathered.add(*self.posterior(z))
        return gathered

    def extra_repr(self) -> str:
        """Width and weight, for ``print(model)``."""
        return f"dim={self.dim}, kl_weight={self.kl_weight}, free_bits={self.free_bits}"

    def _check(self, z: Tensor) -> None:
        if z.ndim == 0 or z.shape[-1] != self.dim or not z.is_floating_point():
            raise ShapeError(
                f"GaussianBottleneck: expected floating-point vectors (..., {self.dim}), got "
                f"{tuple(z.shape)} {z.dtype}; set dim to the encoder's"
            )

    def _valid(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """The rows (*batch) that are finite and that the mask admits."""
        finite = z.isfinite().all(-1)
        if mask is None:
            return finite
        if mask.shape != finite.shape:
            raise ShapeError(
                f"GaussianBottleneck: expected a mask of shape {tuple(finite.shape)}, "
                f"got {tuple(mask.shape)}; give one value per vector"
            )
        return finite & mask.bool()
