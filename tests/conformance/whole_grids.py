"""A quantizer of grids as one of vectors, so that the battery runs through it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vocabula.quantizers import MultiScaleQuantizer, Quantizer
from vocabula.types import Quantized, UsageReport


class OnVectors(Quantizer):
    """A multi-scale quantizer whose whole grid is one vector: 4 positions of 2 are 8 numbers."""

    def __init__(self, inner: MultiScaleQuantizer) -> None:
        positions = inner.scales[-1] ** inner.axes
        super().__init__(
            positions * inner.dim, inner.codebook_sizes, inner.code_shape, tracked=False
        )
        self.inner = inner
        inner.auto_update = False

    @property
    def refinement_weight(self) -> float:
        return self.inner.refinement_weight

    commitment_weight = 0.25
    codebook_weight = 1.0

    def usage_report(self) -> UsageReport:
        """Each code of a scale reports the figures of the scale."""
        report = self.inner.usage_report()
        counts = torch.tensor(self.inner._counts, device="cpu")
        names = ("vectors", "perplexity", "usage", "dead", "oldest", "norm_ratio", "largest_share")
        spread = {n: getattr(report, n).repeat_interleave(counts) for n in (*names, "norm")}
        return replace(report, **spread)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        return self.inner._quantize(z, mask, codes)

    def _encode(self, z: Tensor) -> Tensor:
        return self.inner._encode(z)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.inner._decode(codes)

    def _update(self) -> None:
        self.inner.update()

    def _widths(self) -> tuple[int, ...]:
        return self.inner._widths()

    def _whole(self, codes: Tensor) -> Tensor:
        return self.inner._whole(codes)

    def _lowest_code(self) -> int:
        return self.inner._lowest_code()


def inside(quantizer: Quantizer) -> Quantizer:
    """The public quantizer that a row tests."""
    return quantizer.inner if isinstance(quantizer, OnVectors) else quantizer


def on_vectors(quantizer: Quantizer) -> Quantizer:
    """Undoes `inside`."""
    return OnVectors(quantizer) if isinstance(quantizer, MultiScaleQuantizer) else quantizer
