"""Where codewords start: random, at data vectors, or at k-means centroids of the first batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vocabula.functional import kmeans
from vocabula.registry import component


class Initialization(ABC):
    """Where the codewords start.

    Attributes:
        needs_data: whether the first training batch sets the codewords.
    """

    component_kind = "initialization"
    needs_data: bool

    def start(self, codebook_size: int, dim: int) -> Tensor:
        """Random codewords (K, D) to start with: normal, of mean square norm 1 whatever K."""
        return torch.randn(codebook_size, dim) / dim**0.5

    def from_data(self, z: Tensor, mask: Tensor, codebook_size: int) -> tuple[Tensor, Tensor]:
        """Codewords (K, D) and counts (K,) from the first batch z (N, D), mask (N,)."""
        raise NotImplementedError(f"{type(self).__name__} starts without data")


@component("initialization", "normal")
@dataclass(frozen=True)
class Normal(Initialization):
    """Independent normal components.

    Args:
        scale: root mean square norm of a codeword; it does not shrink with the codebook's size.
    """

    scale: Annotated[float, Gt(0)] = 1.0
    needs_data = False

    def start(self, codebook_size: int, dim: int) -> Tensor:
        """Normal codewords (K, D)."""
        return self.scale * super().start(codebook_size, dim)


@component("initialization", "uniform")
@dataclass(frozen=True)
class Uniform(Initialization):
    """Independent uniform components.

    Args:
        scale: root mean square norm of a codeword; it does not shrink with the codebook's size.
    """

    scale: Annotated[float, Gt(0)] = 1.0
    needs_data = False

    def start(self, codebook_size: int, dim: int) -> Tensor:
        """Uniform codewords (K, D)."""
        bound = self.scale * (3 / dim) ** 0.5
        return torch.empty(codebook_size, dim).uniform_(-bound, bound)


@component("initialization", "kmeans")
@dataclass(frozen=True)
class KMeans(Initialization):
    """Centroids of the first training batch, from a k-means++ start.

    Args:
        iterations: Lloyd iterations.
        vectors_per_codeword: the batch is thinned to at most this many vectors per codeword.
        seed: seed of the k-means++ start.

    Source:
        Arthur & Vassilvitskii 2007; as codebook initialization, Zeghidour et al. 2021, section
        III-C.
    """

    iterations: Annotated[int, Ge(1)] = 10
    vectors_per_codeword: Annotated[int, Ge(1)] = 256
    seed: Annotated[int, Ge(0)] = 0
    needs_data = True

    def from_data(self, z: Tensor, mask: Tensor, codebook_size: int) -> tuple[Tensor, Tensor]:
        """Centroids and cluster sizes."""
        z, mask = _thin(z, mask, codebook_size * self.vectors_per_codeword)
        return kmeans(z, codebook_size, iterations=self.iterations, seed=self.seed, mask=mask)


@component("initialization", "data")
@dataclass(frozen=True)
class FromData(Initialization):
    """Data vectors of the first training batch, far apart (a k-means++ start, no iteration).

    Args:
        seed: seed of the draw.
    """

    seed: Annotated[int, Ge(0)] = 0
    needs_data = True

    def from_data(self, z: Tensor, mask: Tensor, codebook_size: int) -> tuple[Tensor, Tensor]:
        """Chosen vectors and the number of vectors nearest to each."""
        z, mask = _thin(z, mask, codebook_size * 256)
        return kmeans(z, codebook_size, iterations=0, seed=self.seed, mask=mask)


def _thin(z: Tensor, mask: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """At most `limit` rows, evenly spaced."""
    step = -(-z.shape[0] // limit)
    return (z, mask) if step <= 1 else (z[::step], mask[::step])
