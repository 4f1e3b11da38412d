"""Gradient estimators that see the whole look-up: vectors, codewords with gradient, codebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from vocabula.functional import directional, index_backpropagation
from vocabula.functional._checks import Distance
from vocabula.functional.joined_draws import joined_noise
from vocabula.registry import component


@dataclass(frozen=True, slots=True)
class Lookup:
    """What happened in one look-up of a `VectorQuantizer`.

    Attributes:
        z: (N, D) the vectors, with gradient; of norm 1 if the distance is cosine.
        codes: (N,) int64, the codes that were chosen.
        values: (N, D) their codewords; with gradient where the codebook learns by gradient.
        codebook: (K, D) all codewords, likewise.
        distance: the quantizer's.
        learning: whether the pass may be random: in training, not frozen.
    """

    z: Tensor
    codes: Tensor
    values: Tensor
    codebook: Tensor
    distance: Distance
    learning: bool


class Estimator(ABC):
    """A gradient estimator that gets the whole `Lookup`; a function gets (z, values) only.

    Subclass it, implement `values`, and give an object of it as `VectorQuantizer.estimator`. With
    ``@component("estimator", name)`` on the class its models can be saved.

    Attributes:
        teaches: whether it sends gradients to the codebook, which then has to learn by gradient.

    Example:
        >>> class Mean(Estimator):
        ...     def values(self, lookup):
        ...         pulled = (lookup.values + lookup.z) / 2
        ...         return lookup.values.detach() + (pulled - pulled.detach())
    """

    component_kind = "estimator"
    teaches: bool = True

    @abstractmethod
    def values(self, lookup: Lookup) -> Tensor:
        """The values (N, D): the codewords, with the gradient that the estimator gives."""


@component("estimator", "diveq")
@dataclass(frozen=True)
class DiVeQ(Estimator):
    """The error vector's length is differentiated, its direction is held: see `directional`.

    Vectors and codewords learn from the reconstruction alone, so that ``commitment_weight=0`` and
    ``codebook_weight=0`` are the published setting. In training noise is added to the direction:
    values then lie near their codewords, not on them. Without noise, in evaluation, and as a stage
    of a `ResidualQuantizer` they are the codewords, bit for bit.

    Args:
        noise_variance: variance of each component of the noise, in squared units of the vectors;
            0 for none.

    Source:
        Vali, Bäckström & Solin 2026, arXiv:2509.26469.
    """

    noise_variance: Annotated[float, Ge(0)] = 1e-3

    def values(self, lookup: Lookup) -> Tensor:
        """The values (N, D), on the sphere around z through the codeword."""
        noise = None
        if lookup.learning and self.noise_variance > 0:
            noise = self.noise_variance**0.5 * joined_noise(lookup.z, "normal")
        return directional(lookup.z, lookup.values, noise)


@component("estimator", "index_backpropagation")
@dataclass(frozen=True)
class IndexBackpropagation(Estimator):
    """The gradient goes through a softmax over all codewords: see `index_backpropagation`.

    Every codeword learns from every vector. The vectors get a gradient through the scores alone.
    With ``distance="cosine"`` the scores are the products z.e of the published form, up to its
    scale: codewords of norm 1 want a `temperature` well below 1.

    Args:
        temperature: T, of the softmax.

    Source:
        Shi et al. 2025 (IBQ), arXiv:2412.02692. Its entropy terms are `diversity_weight`; its
        third error term, of the values that carry this gradient, is
        ``(result.values - z).square().mean()``.
    """

    temperature: Annotated[float, Gt(0)] = 1.0

    def values(self, lookup: Lookup) -> Tensor:
        """The codewords (N, D)."""
        return index_backpropagation(
            lookup.z,
            lookup.codebook,
            lookup.codes,
            temperature=self.temperature,
            distance=lookup.distance,
        )
