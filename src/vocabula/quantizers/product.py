"""The product quantizer: parts of a vector quantized side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional import nearest_of_books
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import (
    CompositeQuantizer,
    at_least_one,
    joined_codes,
)
from vocabula.quantizers.contexts import penalties_in_order
from vocabula.quantizers.dropout import ABSENT, both, kept_parts, like
from vocabula.quantizers.foreign import FOREIGN_OPTIONS
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

    Product dropout: in training each vector leaves out each part with probability `dropout`, but
    never all of them. A part that is left out has the code -1 and the value 0, and takes part in
    no loss, gradient or statistic; its losses are means over the vectors that have it. `decode`
    then takes -1 for any part.

    Args:
        parts: quantizers of consecutive slices of the vector; their widths add up to D.
        dropout: probability of leaving out a part of a vector in training.
        channel_dim: where the vectors' components are; the parts' own setting is not used.
        auto_update: apply learning at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch, books), D and books summed over the
        parts. Each of `losses` is (books,), zero where a part has no such term.

    Raises:
        OptionError: if there is no part, or dropout with a single one.

    Example:
        >>> from vocabula.quantizers import VectorQuantizer
        >>> quantizer = ProductQuantizer([VectorQuantizer(4, 16), VectorQuantizer(4, 16)])
        >>> quantizer(torch.randn(2, 5, 8)).codes.shape
        torch.Size([2, 5, 2])

    Source:
        Jégou, Douze & Schmid 2011, "Product Quantization for Nearest Neighbor Search", section
        II-B; in learned codebooks, Baevski et al. 2020 (wav2vec 2.0), section 2.
    """

    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        **dict.fromkeys(
            ("codebook_size", "dim", "levels"),
            "parts=[...], a quantizer for each part of the vector",
        ),
    }

    def __init__(
        self,
        parts: Sequence[Quantizer],
        *,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        parts = at_least_one("ProductQuantizer", "parts", parts)
        self.widths = tuple(part.dim for part in parts)
        super().__init__(sum(self.widths), parts, channel_dim=channel_dim, auto_update=auto_update)
        if dropout > 0 and len(parts) == 1:
            raise OptionError(
                "ProductQuantizer.dropout: expected 0 for a single part, which is never left out, "
                f"got {dropout}; add a part"
            )
        self.dropout = dropout

    def _slices(self, z: Tensor) -> tuple[Tensor, ...]:
        return z.split(self.widths, dim=-1)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        present = self._kept(z) if codes is None else self._present(codes)
        if codes is None and not self._waiting():
            codes = self._at_once(z.detach())
        given: Sequence[Tensor | None] = (
            [None] * len(self.widths) if codes is None else self._cleaned(codes, present)
        )
        places = zip(self.parts, self._slices(z), given, self._each(present), strict=True)
        results: list[Quantized] = []
        for part, piece, code, here in places:
            self._show(part, results[-1].values if results else None)
            results.append(_where(here, part._quantize(piece, both(here, mask), code)))
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

    def _kept(self, z: Tensor) -> Tensor | None:
        """Which parts (N, parts) dropout keeps for each row; None for all."""
        if not self.training or self.dropout == 0:
            return None
        return kept_parts(z.shape[0], len(self.widths), self.dropout, z.device)

    def _present(self, codes: Tensor) -> Tensor | None:
        """Which parts (N, parts) the codes (N, books) have; None for all."""
        if self.dropout == 0:
            return None
        pieces = [
            piece.reshape(codes.shape[0], part.books)
            for part, piece in zip(self.parts, self._pieces(codes), strict=True)
        ]
        return torch.stack([(piece != ABSENT).any(-1) for piece in pieces], dim=-1)

    def _each(self, present: Tensor | None) -> Sequence[Tensor | None]:
        """One column (N,) of `present` for each part."""
        return [None] * len(self.widths) if present is None else present.unbind(-1)

    def _cleaned(self, codes: Tensor, present: Tensor | None) -> list[Tensor]:
        """The codes of each part, 0 where it is absent."""
        if present is None:
            return self._pieces(codes)
        pairs = zip(self._pieces(codes), present.unbind(-1), strict=True)
        return [torch.where(like(here, piece), piece, 0) for piece, here in pairs]

    def _lowest_code(self) -> int:
        return ABSENT if self.dropout > 0 else super()._lowest_code()

    def _check_pieces(self, codes: Tensor) -> None:
        cleaned = self._cleaned(codes, self._present(codes))
        for part, piece in zip(self.parts, cleaned, strict=True):
            part._check_codes(piece)

    def _encode(self, z: Tensor) -> Tensor:
        codes = self._at_once(z)
        if codes is not None:
            return codes
        pieces: list[Tensor] = []
        before: Tensor | None = None
        for part, piece in zip(self.parts, self._slices(z), strict=True):
            self._show(part, before)
            pieces.append(part._encode(piece))
            before = part._decode(pieces[-1]) if self.contextual else None
        return joined_codes(pieces)

    def _penalties(self, codes: Tensor) -> Tensor | None:
        if not self.contextual:
            return super()._penalties(codes)
        present = self._present(codes)
        pieces, rows = self._cleaned(codes, present), self._each(present)
        return penalties_in_order(self.parts, pieces, rows, self.activity, added=False)

    def _decode(self, codes: Tensor) -> Tensor:
        present = self._present(codes)
        places = zip(self.parts, self._cleaned(codes, present), self._each(present), strict=True)
        values = [_zero_outside(here, part._decode(piece)) for part, piece, here in places]
        return torch.cat(values, dim=-1)


def _where(here: Tensor | None, result: Quantized) -> Quantized:
    """The result of a part, with the code -1 and the value 0 where it is left out."""
    if here is None:
        return result
    codes = torch.where(like(here, result.codes), result.codes, ABSENT)
    return replace(result, values=_zero_outside(here, result.values), codes=codes)


def _zero_outside(here: Tensor | None, values: Tensor) -> Tensor:
    """Values (N, D), 0 in the rows that are not `here` (N,)."""
    return values if here is None else torch.where(here[:, None], values, 0)
