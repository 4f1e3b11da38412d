"""The finite scalar quantizer: each coordinate rounds to one of a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import MAX_BITS, pack_digits, straight_through, unpack_digits
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.projection import Projection
from vocabula.registry import component
from vocabula.types import Quantized

Level = Annotated[int, Ge(2)]

EPS = 1e-3  # the reference code's margin, so that tanh reaches the outermost levels


@component("quantizer", "finite_scalar")
class FiniteScalarQuantizer(Quantizer):
    """Finite scalar quantization (FSQ): bound each coordinate, round it, and count in mixed radix.

    With L_i levels in coordinate i, and o_i = 1/2 for even L_i, else 0::

        h_i = (L_i - 1)(1 + eps) / 2                f_i(z) = h_i tanh(z + atanh(o_i / h_i)) - o_i
        digit_i = round(f_i(z_i)) + floor(L_i / 2)   values_i = round(f_i(z_i)) / floor(L_i / 2)
        code = sum_i digit_i prod_{j < i} L_j        (the first coordinate is least significant)

    There is no codebook to learn and no loss; the gradient is that of f_i / floor(L_i / 2), the
    rounding being passed straight through.

    Args:
        levels: L_i, levels per coordinate; their product is the codebook size, at most 2^62.
        dim: D, width of the vectors, projected to ``len(levels)`` coordinates and back where it
            differs. None: ``len(levels)``.
        channel_dim: where the vectors' components are.
        auto_update: has no effect, since nothing is learned outside the gradient.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch).

    Raises:
        OptionError: if there is no level, a level below 2, or more than 2^62 codes.

    Example:
        >>> quantizer = FiniteScalarQuantizer([8, 5, 5, 5])
        >>> quantizer.codebook_sizes
        (1000,)

    Source:
        Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", section 3 and
        appendix A.1 (eps = 1e-3 there too). Digits are clamped to [0, L), which only acts above
        1000 levels, where eps would reach one level too far.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        dim: Annotated[int, Ge(1)] | None = None,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        self.levels = tuple(levels)
        size = math.prod(self.levels)
        if not self.levels or size > 2**MAX_BITS:
            raise OptionError(
                "FiniteScalarQuantizer.levels: expected one or more with a product of at most "
                f"2^{MAX_BITS}, got {list(self.levels)}; change the number of levels"
            )
        width = len(self.levels)
        dim = width if dim is None else dim
        super().__init__(dim, (size,), (), channel_dim=channel_dim, auto_update=auto_update)
        projected = dim != width
        self.project_in: nn.Module = Projection(dim, width) if projected else nn.Identity()
        self.project_out: nn.Module = Projection(width, dim) if projected else nn.Identity()
        self._half = [(level - 1) * (1 + EPS) / 2 for level in self.levels]
        self._offset = [0.0 if level % 2 else 0.5 for level in self.levels]
        ratios = zip(self._offset, self._half, strict=True)
        self._shift = [math.atanh(offset / half) for offset, half in ratios]

    def _bound(self, z: Tensor) -> Tensor:
        """f(z) (N, levels), between the lowest and the highest level."""
        half, offset = z.new_tensor(self._half), z.new_tensor(self._offset)
        return half * torch.tanh(z + z.new_tensor(self._shift)) - offset

    def _middle(self, like: Tensor) -> Tensor:
        """floor(L / 2) of each coordinate."""
        return like.new_tensor([level // 2 for level in self.levels])

    def _digits(self, bounded: Tensor) -> Tensor:
        digits = bounded.detach().round().long()
        top = digits.new_tensor(self.levels) - 1
        return torch.minimum((digits + self._middle(digits)).clamp_min(0), top)

    def _levels_of(self, digits: Tensor) -> Tensor:
        """Values (N, levels) in [-1, 1] of digits (N, levels)."""
        centred = (digits - self._middle(digits)).to(self.compute_dtype)
        return centred / self._middle(centred)

    def _quantize(self, z: Tensor, mask: Tensor, codes: Tensor | None = None) -> Quantized:
        bounded = self._bound(self.project_in(z))
        digits = self._digits(bounded) if codes is None else unpack_digits(codes, self.levels)
        codes = pack_digits(digits, self.levels) if codes is None else codes
        values, scaled = self._levels_of(digits), bounded / self._middle(bounded)
        if self.learning_active:
            self._track(codes, mask, scaled, values)
        values = self.project_out(straight_through(scaled, values))
        return Quantized(values, codes, z.new_zeros(()), {})

    def _encode(self, z: Tensor) -> Tensor:
        return pack_digits(self._digits(self._bound(self.project_in(z))), self.levels)

    def _decode(self, codes: Tensor) -> Tensor:
        values: Tensor = self.project_out(self._levels_of(unpack_digits(codes, self.levels)))
        return values
