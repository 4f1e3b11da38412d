"""The finite scalar quantizer: each coordinate rounds to one of a few levels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from vocabula.errors import OptionError, OptionWarning
from vocabula.functional import MAX_BITS, finite_scalar_values, straight_through
from vocabula.functional.finite_scalar import Form, finite_scalar_noise, finite_scalar_terms
from vocabula.functional.joined_draws import joined_noise
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

    The published form puts an even number of levels off centre, from -1 to 1 - 2/L. With 2 levels
    that leaves the values -1 and 0, and z changes its code at -3.8: take the symmetric form there.

    Noise dropout: in training a coordinate is not rounded with the probability `noise_dropout`, but
    gets uniform noise one step wide. Values in training are then not ``decode(codes)``. The codes
    are those of rounding, also in training.

    Args:
        levels: L_i, levels per coordinate; their product is the codebook size, at most 2^62.
        symmetric: values at equal distances from -1 to 1 and thresholds symmetric about 0, for even
            numbers of levels, too. False: the published form.
        hard_clamp: bound coordinates to [-1, 1] by clamping instead of by tanh. With
            `symmetric` values are then the nearest ones, as residual stages want them; no gradient
            passes outside of [-1, 1].
        noise_dropout: probability that a coordinate gets noise instead of rounding in training.
        orthogonal_rotation: turn the coordinates by a random orthogonal matrix first, and the
            values back, so that every level sees a part of every coordinate. The matrix is drawn
            at construction, saved and not learned.
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
        appendix A.1. Symmetric form and noise: Parker et al. 2024, "Scaling Transformers for
        Low-Bitrate High-Quality Speech Coding", section 3.2; the noise is drawn for each
        coordinate here, for each item there. Rotation: Chee et al. 2023, "QuIP", section 4.
    """

    rotation: Tensor | None
    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        "bound_hard_clamp": "hard_clamp",
        "codebook_size": "levels: the codebook has their product of codes",
        "num_codebooks": "ProductQuantizer([FiniteScalarQuantizer(levels), ...])",
        "preserve_symmetry": "symmetric",
        "scale": "nothing: divide the vectors by it, and multiply the values",
    }

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        symmetric: bool = False,
        hard_clamp: bool = False,
        noise_dropout: Annotated[float, Ge(0), Le(1)] = 0.0,
        orthogonal_rotation: bool = False,
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
        _warn_of_two_levels(self.levels, symmetric, hard_clamp)
        width = len(self.levels)
        dim = width if dim is None else dim
        super().__init__(dim, (size,), (), channel_dim=channel_dim, auto_update=auto_update)
        projected = dim != width
        self.project_in: nn.Module = Projection(dim, width) if projected else nn.Identity()
        self.project_out: nn.Module = Projection(width, dim) if projected else nn.Identity()
        self.form = Form(self.levels, symmetric, hard_clamp)
        self.noise_dropout = noise_dropout
        self.register_buffer("rotation", _orthogonal(width) if orthogonal_rotation else None)

    def _inner(self, z: Tensor) -> Tensor:
        """The coordinates (N, levels) to be bounded and rounded."""
        inner: Tensor = self.project_in(z)
        return inner if self.rotation is None else inner @ self.rotation.to(inner.dtype)

    def _outer(self, coordinates: Tensor) -> Tensor:
        """The vectors (N, D) of values (N, levels)."""
        if self.rotation is not None:
            coordinates = coordinates @ self.rotation.to(coordinates.dtype).T
        values: Tensor = self.project_out(coordinates)
        return values

    def _coordinates(self, codes: Tensor) -> Tensor:
        """The values (N, levels) of codes (N,)."""
        return finite_scalar_values(
            codes, self.levels, self.compute_dtype, symmetric=self.form.symmetric
        )

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        inner = self._inner(z)
        values, found, nothing = finite_scalar_terms(inner, self.form)
        if codes is None:
            codes = found
        else:
            values = straight_through(values, self._coordinates(codes))
        if self.learning_active:
            self._track(codes, mask, inner, values)
        if self.training and self.noise_dropout > 0:
            noisy = joined_noise(values, "uniform") < self.noise_dropout
            values = torch.where(noisy, finite_scalar_noise(inner, self.form), values)
        return Quantized(self._outer(values), codes, nothing, {})

    def _encode(self, z: Tensor) -> Tensor:
        return finite_scalar_terms(self._inner(z), self.form)[1]

    def _decode(self, codes: Tensor) -> Tensor:
        return self._outer(self._coordinates(codes))


def _orthogonal(width: int) -> Tensor:
    """A random orthogonal matrix (width, width), drawn in float32 for any default dtype."""
    drawn = nn.init.orthogonal_(torch.empty(width, width, dtype=torch.float32))
    return drawn.to(torch.get_default_dtype())


def _warn_of_two_levels(levels: Sequence[int], symmetric: bool, hard_clamp: bool) -> None:
    if 2 in levels and not symmetric:
        edge = -1.0 if hard_clamp else -3.8
        warnings.warn(
            f"FiniteScalarQuantizer.levels: expected 3 or more in the published form, got "
            f"{list(levels)}; a coordinate of 2 levels changes its code at z = {edge:.1f} instead "
            "of 0: set symmetric=True",
            OptionWarning,
            stacklevel=4,  # the caller of the constructor, whose arguments a wrapper checks
        )
