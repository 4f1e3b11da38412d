"""One scale of a multi-scale quantizer: its quantizer, and a count of its own codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vocabula.errors import CodeError
from vocabula.functional import readable
from vocabula.quantizers.base import Quantizer
from vocabula.types import Quantized

ABSENT = -1


class Scale(Quantizer):
    """The quantizer of one scale, which other scales may share, with its own usage.

    The quantizer belongs to the multi-scale quantizer: this holds it without owning its state, so
    that a shared codebook is saved once. `update` therefore does nothing here.

    A code of -1 stands for an absent scale and decodes to zeros.

    Args:
        quantizer: of this scale.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__(
            quantizer.dim, quantizer.codebook_sizes, quantizer.code_shape, auto_update=False
        )
        self._held = (quantizer,)

    @property
    def quantizer(self) -> Quantizer:
        """The quantizer, shared or not."""
        return self._held[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors (*batch, D) of codes (*batch, *code_shape); zeros where the codes are -1.

        Raises:
            CodeError: codes are not integers or lie outside the codebook.
        """
        absent = codes == ABSENT
        found = readable(absent)
        if found is not None and not bool(found.any()):
            return super().decode(codes)
        values = super().decode(torch.where(absent, 0, codes))
        here = ~(absent.all(-1) if self.code_shape else absent)
        return torch.where(here.unsqueeze(-1), values, 0)

    def flat(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        """Quantize vectors (N, *grid, D) inside of another quantizer, which has checked them.

        Args:
            z: in `compute_dtype`.
            mask: (N, *grid) bool, the positions that count.
            codes: (N, *grid, *code_shape) to use instead of a search.
        """
        given = None if codes is None else codes.reshape(-1, *self.code_shape)
        rows = z.reshape(-1, self.dim)
        result = self._quantize(rows, None if mask is None else mask.reshape(-1), given)
        return replace(
            result,
            values=result.values.reshape(z.shape),
            codes=result.codes.reshape(*z.shape[:-1], *self.code_shape),
        )

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """The quantizer's candidates."""
        return self.quantizer.candidates(z, count)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        result = self.quantizer._quantize(z, mask, codes)
        self._track(result.codes, mask, z, result.values.detach())
        return result

    def _encode(self, z: Tensor) -> Tensor:
        return self.quantizer._encode(z)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.quantizer._decode(codes)


class Partly:
    """A scale that only some signals of a batch have.

    Args:
        scale: its quantizer.
        here: (N,) bool, the signals that have it.
    """

    def __init__(self, scale: Scale, here: Tensor) -> None:
        self._scale, self._here = scale, here

    def __call__(self, z: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantize vectors (N, *grid, D); codes are -1 where the scale is absent."""
        here = like(self._here, z[..., 0]).expand(z.shape[:-1])
        return self._marked(self._scale(z, here if mask is None else here & mask), here)

    def flat(self, z: Tensor, mask: Tensor | None, codes: Tensor | None) -> Quantized:
        """`Scale.flat` with a mask (N, *grid), inside of another quantizer."""
        here = like(self._here, z[..., 0]).expand(z.shape[:-1])
        result = self._scale.flat(z, here if mask is None else here & mask, codes)
        return self._marked(result, here)

    def _marked(self, result: Quantized, here: Tensor) -> Quantized:
        shaped = here.reshape(*here.shape, *[1] * (result.codes.ndim - here.ndim))
        return replace(result, codes=torch.where(shaped, result.codes, ABSENT))


def check_absent(absent: Sequence[Tensor], name: str) -> None:
    """Check that scales are absent as a whole, and only after all present ones.

    Args:
        absent: (N, n) bool of each scale, the coarsest first.
        name: of who asks, for the message.

    Raises:
        CodeError: they are not.
    """
    whole = torch.stack([one.all(-1) for one in absent], dim=-1)
    some = torch.stack([one.any(-1) for one in absent], dim=-1)
    gaps = (whole[:, :-1] & ~whole[:, 1:]).any() | whole[:, 0].any()
    if bool((some & ~whole).any()) or bool(gaps):
        raise CodeError(
            f"{name}: expected {ABSENT} for whole scales, after all present ones, got it in a part "
            "of a scale or before a present one; drop the last scales, not the first"
        )


def like(rows: Tensor, x: Tensor) -> Tensor:
    """Rows (N,) with as many dimensions as x (N, ...)."""
    return rows.reshape(-1, *[1] * (x.ndim - 1))
