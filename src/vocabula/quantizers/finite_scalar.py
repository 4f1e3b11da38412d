"""The finite scalar quantizer: each coordinate rounds to one of a few levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import MAX_BITS, finite_scalar_values, straight_through
from vocabula.functional.finite_scalar import finite_scalar_terms
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.foreign import FOREIGN_OPTIONS
from vocabula.quantizers.projection import Projection
from vocabula.registry import component
from vocabula.types import Quantized

Level = Annotated[int, Ge(2)]


@component("quantizer", "finite_scalar")
class FiniteScalarQuantizer(Quantizer):
    """Finite scalar quantization (FSQ): bound each coordinate, round it, and count in mixed radix.

    The formulas are those of `vocabula.functional.finite_scalar`. There is no codebook to learn and
    the loss is zero; rounding is straight-through for gradients.

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
        appendix A.1.
    """

    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        "codebook_size": "levels: the codebook has their product of codes",
        "num_codebooks": "ProductQuantizer([FiniteScalarQuantizer(levels), ...])",
    }

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

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        inner = self.project_in(z)
        values, found, nothing = finite_scalar_terms(inner, self.levels)
        if codes is None:
            codes = found
        else:
            given = finite_scalar_values(codes, self.levels, self.compute_dtype)
            values = straight_through(values, given)
        if self.learning_active:
            self._track(codes, mask, inner, values)
        return Quantized(self.project_out(values), codes, nothing, {})

    def _encode(self, z: Tensor) -> Tensor:
        return finite_scalar_terms(self.project_in(z), self.levels)[1]

    def _decode(self, codes: Tensor) -> Tensor:
        coordinates = finite_scalar_values(codes, self.levels, self.compute_dtype)
        values: Tensor = self.project_out(coordinates)
        return values
