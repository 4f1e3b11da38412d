"""The product quantizer: parts of a vector quantized side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.functional import nearest_of_books
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import CompositeQuantizer, at_least_one, joined_codes
from vocabula.registry import component
from vocabula.types import Quantized


@component("quantizer", "product")
class ProductQuantizer(CompositeQuantizer):
    """Product quantization: the vector is cut into parts, and each is quantized alone.

    ::

        z = (z_1, ..., z_P)      values = (q_1(z_1), ..., q_P(z_P))      codes = (c_1, ..., c_P)

        z ──split──┬─ z_1 ──▶ part 1 ──┬─cat──▶ values
                   ├─ z_2 ──▶ part 2 ──┤
                   └─ z_P ──▶ part P ──┘

    The parts' losses are weighted by their share of the width, ``loss = sum_p (D_p / D) loss_p``,
    so that a term that is a mean over elements stays the mean over all elements of z. Entropies
    are weighted alike. A quantizer given several times is one codebook that all its places share
    and that learns once per update.

    Args:
        parts: quantizers of consecutive slices of the vector; their widths add up to D.
        channel_dim: where the vectors' components are; the parts' own setting is not used.
        auto_update: apply learning at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch, books), D and books summed over the
        parts. Each of `losses` is (books,), zero where a part has no such term.

    Raises:
        OptionError: if there is no part.

    Example:
        >>> from vocabula.quantizers import VectorQuantizer
        >>> quantizer = ProductQuantizer([VectorQuantizer(4, 16), VectorQuantizer(4, 16)])
        >>> quantizer(torch.randn(2, 5, 8)).codes.shape
        torch.Size([2, 5, 2])

    Source:
        Jégou, Douze & Schmid 2011, "Product Quantization for Nearest Neighbor Search", section
        II-B; in learned codebooks, Baevski et al. 2020 (wav2vec 2.0), section 2.
    """

    def __init__(
        self,
        parts: Sequence[Quantizer],
        *,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        parts = at_least_one("ProductQuantizer", "parts", parts)
        self.widths = tuple(part.dim for part in parts)
        super().__init__(sum(self.widths), parts, channel_dim=channel_dim, auto_update=auto_update)

    def _slices(self, z: Tensor) -> tuple[Tensor, ...]:
        return z.split(self.widths, dim=-1)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        if codes is None and not self._waiting():
            codes = self._at_once(z.detach())
        given: Sequence[Tensor | None] = (
            [None] * len(self.widths) if codes is None else self._pieces(codes)
        )
        results = [
            part._quantize(piece, mask, code)
            for part, piece, code in zip(self.parts, self._slices(z), given, strict=True)
        ]
        weighted = [r.loss * (w / self.dim) for r, w in zip(results, self.widths, strict=True)]
        return Quantized(
            values=torch.cat([r.values for r in results], dim=-1),
            codes=joined_codes([r.codes for r in results]),
            loss=torch.stack(weighted).sum(),
            losses=self._per_book(results),
        )

    def _at_once(self, z: Tensor) -> Tensor | None:
        """Codes (N, books) by one launch for all parts; None if that is not possible."""
        codebooks = self._codebooks_at_once(z)
        if codebooks is None:
            return None
        return nearest_of_books(z.unflatten(-1, (len(self.parts), -1)), codebooks)

    def _encode(self, z: Tensor) -> Tensor:
        codes = self._at_once(z)
        if codes is not None:
            return codes
        slices = zip(self.parts, self._slices(z), strict=True)
        return joined_codes([part._encode(piece) for part, piece in slices])

    def _decode(self, codes: Tensor) -> Tensor:
        pieces = zip(self.parts, self._pieces(codes), strict=True)
        return torch.cat([part._decode(piece) for part, piece in pieces], dim=-1)
