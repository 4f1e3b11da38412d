"""Watson's model of visibility on Fourier coefficients of blocks."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vocabula.nn.perceptual.base import PerceptualLoss
from vocabula.registry import component

BLOCK = 8
_THRESHOLDS = (
    (1.40, 1.01, 1.16, 1.66, 2.40, 3.43, 4.79, 6.56),
    (1.01, 1.45, 1.32, 1.52, 2.00, 2.71, 3.67, 4.93),
    (1.16, 1.32, 2.24, 2.59, 2.98, 3.64, 4.60, 5.88),
    (1.66, 1.52, 2.59, 3.77, 4.55, 5.30, 6.28, 7.60),
    (2.40, 2.00, 2.98, 4.55, 6.15, 7.46, 8.71, 10.17),
    (3.43, 2.71, 3.64, 5.30, 7.46, 9.62, 11.58, 13.51),
    (4.79, 3.67, 4.60, 6.28, 8.71, 11.58, 14.50, 17.29),
    (6.56, 4.93, 5.88, 7.60, 10.17, 13.51, 17.29, 21.15),
)
"""Just visible amplitudes, in steps of 1/255, of the cosines of 8 x 8 blocks: Watson's table."""
LUMINANCE, CONTRAST = 0.649, 0.7
"""Exponents of masking by the brightness of a block, and by the coefficient itself."""
_TINY = 1e-8
_TO_LUMA = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
"""Rows: brightness and the two colour differences of JPEG."""


@component("perceptual", "watson")
class Watson(PerceptualLoss):
    """Error in units of what is just visible, of which a shift of phase counts less.

    ::

        T = t (c0 / mean c0)^0.649                      t: Watson's table, c0: a block's brightness
        s = max(T, |C|^0.7 T^0.3)                       a strong coefficient hides an error
        D^2 = mean over blocks and frequencies of
              ((1 - phase) (|C| - |C'|)^2 + phase |C - C'|^2) / s^2
        distance = mean over signals of D, with `chroma` times D^2 of the colour differences

    C are the Fourier coefficients of 8 x 8 blocks of the target, C' of the output. In training the
    grid of blocks is moved at random.

    Args:
        weight: of the distance in the loss.
        phase: how much an error of phase alone counts.
        chroma: weight of the colour differences.

    Shape:
        two tensors (B, C, H, W) in [0, 1] -> ().

    Source: Czolbe et al. 2020, "A loss function for generative neural networks based on Watson's
    perceptual model". Deviations: the thresholds are Watson's (1993, "DCT quantization matrices
    visually optimized for individual images"), read at the same frequencies, in place of learned
    ones, the pooling is quadratic, and the error of phase is that of the plain difference,
    whose gradient is finite.
    """

    name: ClassVar[str] = "watson"
    least = 2 * BLOCK
    thresholds: Tensor
    luma: Tensor

    def __init__(
        self,
        weight: Annotated[float, Gt(0)] = 1.0,
        phase: Annotated[float, Ge(0), Le(1)] = 0.25,
        chroma: Annotated[float, Ge(0)] = 0.25,
    ) -> None:
        super().__init__()
        self.weight, self.phase, self.chroma = weight, phase, chroma
        table = torch.tensor(_THRESHOLDS)
        # the Fourier frequency u has the period of the cosine 2 u
        rows = torch.tensor([2 * min(u, BLOCK - u) for u in range(BLOCK)]).clamp_max(BLOCK - 1)
        columns = torch.arange(BLOCK // 2 + 1).mul(2).clamp_max(BLOCK - 1)
        thresholds = table[rows][:, columns]
        self.register_buffer("thresholds", thresholds, persistent=False)
        self.register_buffer("luma", torch.tensor(_TO_LUMA), persistent=False)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance (), in units of what is just visible."""
        first, second = (0, 0)
        if self.training:
            first, second = torch.randint(BLOCK, (2,)).tolist()
        both = torch.cat([output, target])[..., first:, second:]
        if both.shape[1] == 3:
            both = torch.einsum("dc,bchw->bdhw", self.luma, both)
        rows, columns = (side // BLOCK for side in both.shape[-2:])
        both = both[..., : rows * BLOCK, : columns * BLOCK] * 255
        blocks = both.unflatten(-1, (columns, BLOCK)).unflatten(-3, (rows, BLOCK))
        found, wanted = torch.fft.rfft2(blocks, dim=(-3, -1), norm="ortho").chunk(2)
        # (B, C, rows, 8, columns, 5) -> (B, C, rows, columns, 8, 5)
        error = self._error(found.transpose(-3, -2), wanted.transpose(-3, -2)).mean((2, 3, 4, 5))
        total = error[:, 0] + self.chroma * error[:, 1:].sum(1)
        return (total + _TINY).sqrt().mean() - _TINY**0.5

    def _error(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Squared error of coefficients (B, C, rows, columns, 8, 5) over their thresholds."""
        one, two = _amplitude(found), _amplitude(wanted)
        bright = two[:, :1, ..., :1, :1]
        mean = bright.mean((2, 3), keepdim=True)
        limit = self.thresholds * ((bright + 1) / (mean + 1)) ** LUMINANCE
        limit = torch.maximum(limit, two**CONTRAST * limit ** (1 - CONTRAST))
        apart = found - wanted
        whole = apart.real.square() + apart.imag.square()
        error = (1 - self.phase) * (one - two).square() + self.phase * whole
        return error / limit.square()


def _amplitude(spectrum: Tensor) -> Tensor:
    """|C|, whose gradient is finite at 0."""
    return (spectrum.real.square() + spectrum.imag.square() + _TINY).sqrt()
