"""Initial codewords: random, data vectors, or k-means centroids of the first batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vocabula.functional import distributed, kmeans
from vocabula.registry import component


class Initialization:
    """Where the codewords start.

    Attributes:
        last_fit: the update, from 0, before which the codewords are set for the last time; -1 for
            never.
    """

    component_kind = "initialization"
    last_fit: int = -1

    def start(self, codebook_size: int, dim: int) -> Tensor:
        """Initial random codewords (K, D): normal, with mean square norm 1 for any K."""
        return torch.randn(codebook_size, dim) / dim**0.5

    def fit(
        self, z: Tensor, mask: Tensor, step: Tensor, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codewords (K, D), counts (K,) and whether they are due () from a batch.

        Args:
            z: (N, D) vectors of this process.
            mask: (N,) the vectors that count.
            step: () int64, updates with data before this one; -1 if nothing may be set.
            size: K.
        """
        raise NotImplementedError(f"{type(self).__name__} starts without data")


@component("initialization", "normal")
@dataclass(frozen=True)
class Normal(Initialization):
    """Independent normal components.

    Args:
        scale: root mean square norm of a codeword; it does not shrink with the codebook's size.
    """

    scale: Annotated[float, Gt(0)] = 1.0

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

    def start(self, codebook_size: int, dim: int) -> Tensor:
        """Uniform codewords (K, D)."""
        bound = self.scale * (3 / dim) ** 0.5
        return torch.empty(codebook_size, dim).uniform_(-bound, bound)


@component("initialization", "kmeans")
@dataclass(frozen=True)
class KMeans(Initialization):
    """Centroids of the first training batch, refitted while the encoder still changes fast.

    An untrained encoder's vectors move by more than their spread in a few steps, and a codebook of
    moving averages lags behind. So the centroids are refitted before the updates 0, 1, 2, 4, 8, ...
    up to `refit_until`. On CIFAR-10 that halves the error of the first 250 steps.

    Args:
        iterations: Lloyd iterations after a k-means++ start.
        refit_until: the last update that may fit again; 0 fits the first batch only.
        vectors_per_codeword: the batch is thinned to at most this many vectors per codeword.
        seed: seed of the k-means++ start.

    Source:
        Arthur & Vassilvitskii 2007; as codebook initialization, Zeghidour et al. 2021
        (SoundStream), section III-C. Fitting again is ours.
    """

    iterations: Annotated[int, Ge(0)] = 10
    refit_until: Annotated[int, Ge(0)] = 128
    vectors_per_codeword: Annotated[int, Ge(1)] = 256
    seed: Annotated[int, Ge(0)] = 0

    @property
    def last_fit(self) -> int:  # type: ignore[override]
        """The update before which the codewords are set for the last time."""
        return self.refit_until

    def fit(
        self, z: Tensor, mask: Tensor, step: Tensor, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Centroids, cluster sizes and whether they are due; see `Initialization.fit`."""
        limit = size * self.vectors_per_codeword
        rows = distributed.item_parts(len(z))
        last = self.refit_until
        return _fit(z, mask, step, size, self.iterations, last, limit, self.seed, rows)


@component("initialization", "data")
@dataclass(frozen=True)
class FromData(Initialization):
    """Data vectors of the first training batch, far apart (k-means++ without iterations).

    Args:
        seed: seed of the draw.
    """

    seed: Annotated[int, Ge(0)] = 0
    last_fit = 0

    def fit(
        self, z: Tensor, mask: Tensor, step: Tensor, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Chosen vectors, the number of vectors nearest to each, and whether they are due."""
        rows = distributed.item_parts(len(z))
        return _fit(z, mask, step, size, 0, 0, 256 * size, self.seed, rows)


def is_due(step: int, last: int) -> bool:
    """Whether the codewords are fitted before this update: 0, 1, 2, 4, 8, ... up to `last`."""
    return step <= last and step & (step - 1) == 0


# An opaque operator: whether a fit is due depends on data, which a traced graph cannot ask.
@torch.library.custom_op(
    "vocabula::fit_codebook",
    mutates_args=(),
    schema="(Tensor z, Tensor mask, Tensor step, int size, int iterations, int last, int limit, "
    "int seed, SymInt[] item_rows) -> (Tensor, Tensor, Tensor)",
)
def _fit(
    z: Tensor,
    mask: Tensor,
    step: Tensor,
    size: int,
    iterations: int,
    last: int,
    limit: int,
    seed: int,
    item_rows: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = z.new_zeros((size, z.shape[1]), dtype=torch.float32), step.new_zeros(size)
    now = int(step)
    if not is_due(now, last):
        return *nothing, step.new_zeros((), dtype=torch.bool)
    # In the order of the joined batch, by which k-means draws its start.
    z = distributed.all_gather_rows(z, item_rows=item_rows)
    z = z[distributed.all_gather_rows(mask, item_rows=item_rows)]
    z = z[:: max(1, -(-len(z) // limit))]
    if len(z) == 0:
        return *nothing, step.new_zeros((), dtype=torch.bool)
    vectors, counts = kmeans(z, size, iterations=iterations, seed=seed + now)
    due = step.new_ones((), dtype=torch.bool)
    return distributed.broadcast(vectors).clone(), distributed.broadcast(counts).clone(), due


@_fit.register_fake
def _(
    z: Tensor,
    mask: Tensor,
    step: Tensor,
    size: int,
    iterations: int,
    last: int,
    limit: int,
    seed: int,
    item_rows: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    vectors = z.new_empty((size, z.shape[1]), dtype=torch.float32)
    return vectors, step.new_empty(size), step.new_empty((), dtype=torch.bool)
