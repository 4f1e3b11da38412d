"""Multi-scale structural similarity as a loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from vocabula.nn.perceptual.base import PerceptualLoss
from vocabula.registry import component

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, the finest first."""
WINDOW, SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LEAST = 1e-6
"""A similarity below it has no gradient: powers of negative numbers are not defined."""


@component("perceptual", "msssim")
class MultiScaleSSIM(PerceptualLoss):
    """1 - MS-SSIM: structure at several scales, and brightness at the coarsest.

    ::

        MS-SSIM = l_M^a_M  prod_j  cs_j^a_j        M scales, each half the size of the one before
        l  = (2 m m' + C1) / (m^2 + m'^2 + C1)     cs = (2 cov + C2) / (var + var' + C2)

    Local moments are those of a Gaussian window of 11 x 11 with a standard deviation of 1.5, where
    it lies inside the signal; l cs and cs are averaged over the windows of each channel. C1 is
    0.01^2 and C2 0.03^2. With fewer than five scales the exponents a of the finest are divided by
    their sum.

    Args:
        weight: of the distance in the loss.
        scales: how many; the sides must be at least 11 times 2^(scales - 1).

    Shape:
        two tensors (B, C, H, W) in [0, 1] -> ().

    Example:
        >>> msssim = MultiScaleSSIM(scales=2)
        >>> x = torch.rand(2, 3, 24, 24)
        >>> bool(msssim(x, x).abs() < 1e-6)
        True

    Source: Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality
    assessment".
    """

    name: ClassVar[str] = "msssim"
    curve: Tensor

    def __init__(
        self,
        weight: Annotated[float, Gt(0)] = 1.0,
        scales: Annotated[int, Ge(1), Le(5)] = 5,
    ) -> None:
        super().__init__()
        self.weight, self.scales = weight, scales
        self.least = WINDOW * 2 ** (scales - 1)
        total = sum(EXPONENTS[:scales])
        self.exponents = [each / total for each in EXPONENTS[:scales]]
        place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
        curve = torch.exp(-place.square() / (2 * SIGMA**2))
        self.register_buffer("curve", (curve / curve.sum()).float(), persistent=False)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance (), a mean over signals and channels."""
        product = output.new_ones(output.shape[:2])
        for scale, exponent in enumerate(self.exponents):
            if scale:
                output, target = avg_pool2d(output, 2), avg_pool2d(target, 2)
            last = scale == self.scales - 1
            product = product * self._similarity(output, target, last).clamp_min(_LEAST) ** exponent
        return 1 - product.mean()

    def _similarity(self, x: Tensor, y: Tensor, last: bool) -> Tensor:
        """The mean (B, C) of cs, or of l cs at the last scale."""
        mean_x, mean_y, xx, yy, xy = self._local([x, y, x * x, y * y, x * y])
        both = mean_x * mean_y
        squares = mean_x.square() + mean_y.square()
        found = (2 * (xy - both) + _C2) / (xx + yy - squares + _C2)
        if last:
            found = found * (2 * both + _C1) / (squares + _C1)
        return found.mean((-2, -1))

    def _local(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Each of some maps (B, C, H, W) smoothed by the window."""
        stacked = torch.stack(maps)
        flat = stacked.flatten(0, 2).unsqueeze(1)
        flat = conv2d(flat, self.curve.view(1, 1, -1, 1))
        flat = conv2d(flat, self.curve.view(1, 1, 1, -1))
        return flat.view(*stacked.shape[:3], *flat.shape[-2:]).unbind()
