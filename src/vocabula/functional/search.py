"""The nearest codeword, exactly: the operators that choose how to search, and their functions.

float32 on the CPU runs the compiled kernel if it was built (`native`); everything else runs
`blocked`, the same search in torch operations. Both return the codes of a float64 brute force.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional import blocked, native, several
from vocabula.functional._checks import (
    Distance,
    check_books,
    check_distance,
    check_temperature,
    check_vectors,
    working_dtype,
)
from vocabula.functional._operator import operator
from vocabula.functional.distributed import world_size
from vocabula.functional.joined_draws import generator_of_rank_0, joined_places
from vocabula.functional.modes import fold_rows

__all__ = [
    "nearest_codeword",
    "nearest_codewords",
    "nearest_of_books",
    "residual_codes",
    "sample_codeword",
]


@operator(
    "vocabula::nearest",
    schema="(Tensor z, Tensor codebook, bool cosine) -> Tensor",
)
def _nearest(z: Tensor, codebook: Tensor, cosine: bool) -> Tensor:
    if native.searches(z):
        return native.nearest(z, codebook, cosine)
    return blocked.nearest(z, codebook, cosine)


@operator(
    "vocabula::nearest_of_books",
    schema="(Tensor z, Tensor codebooks) -> Tensor",
)
def _nearest_of_books(z: Tensor, codebooks: Tensor) -> Tensor:
    pairs = zip(z.unbind(1), codebooks.unbind(), strict=True)
    return torch.stack([nearest_codeword(rows, book) for rows, book in pairs], 1)


@operator(
    "vocabula::residual_codes",
    schema="(Tensor z, Tensor codebooks) -> Tensor",
)
def _residual_codes(z: Tensor, codebooks: Tensor) -> Tensor:
    total, codes = torch.zeros_like(z), []
    for codebook in codebooks.unbind():
        codes.append(nearest_codeword(z - total, codebook))
        total = total + codebook[codes[-1]]
    return torch.stack(codes, 1)


@operator(
    "vocabula::nearest_several",
    schema="(Tensor z, Tensor codebook, int count, bool cosine) -> Tensor",
)
def _nearest_several(z: Tensor, codebook: Tensor, count: int, cosine: bool) -> Tensor:
    if native.searches(z) and several.serves(codebook, count, cosine):
        return several.nearest(z, codebook, count)
    return blocked.nearest_several(z, codebook, count, cosine)


# The short form `custom_op(tags=...)` is newer than torch 2.6.
torch.library.define(
    "vocabula::sample",
    "(Tensor z, Tensor codebook, float temperature, bool cosine, SymInt item_rows=0) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)


@torch.library.impl("vocabula::sample", "CompositeExplicitAutograd")
def _sample(
    z: Tensor, codebook: Tensor, temperature: float, cosine: bool, item_rows: int = 0
) -> Tensor:
    if item_rows == 0 or world_size() == 1:
        return blocked.sample(z, codebook, temperature, cosine)
    joined = joined_places(len(z), item_rows, z.device)
    with generator_of_rank_0(z.device):
        return blocked.sample(z, codebook, temperature, cosine, joined)


@_nearest.register_fake
def _(z: Tensor, codebook: Tensor, cosine: bool) -> Tensor:
    return z.new_empty(z.shape[0], dtype=torch.int64)


@_nearest_of_books.register_fake
@_residual_codes.register_fake
def _(z: Tensor, codebooks: Tensor) -> Tensor:
    return z.new_empty((z.shape[0], codebooks.shape[0]), dtype=torch.int64)


@_nearest_several.register_fake
def _(z: Tensor, codebook: Tensor, count: int, cosine: bool) -> Tensor:
    return z.new_empty((z.shape[0], count), dtype=torch.int64)


@torch.library.register_fake("vocabula::sample")
def _(z: Tensor, codebook: Tensor, temperature: float, cosine: bool, item_rows: int = 0) -> Tensor:
    return z.new_empty(z.shape[0], dtype=torch.int64)


def _register_vmap() -> None:
    """Register the searches with vmap: rows are independent, so its dimension becomes rows."""
    for search in (_nearest, _nearest_of_books, _residual_codes, _nearest_several):
        search.register_vmap(functools.partial(fold_rows, search))
    torch.library.register_vmap("vocabula::sample", _sample_each)


def _sample_each(info: Any, in_dims: Any, *inputs: Any) -> Any:
    if info.randomness != "different":
        raise OptionError(
            f"sample_codeword: expected vmap(..., randomness='different'), got "
            f"{info.randomness!r}; each vector has a draw of its own"
        )
    return fold_rows(torch.ops.vocabula.sample, info, in_dims, *inputs)


_register_vmap()


def _flat(z: Tensor, codebook: Tensor, distance: str) -> tuple[Tensor, Tensor]:
    """Check the arguments and return (N, D) and (K, D) in the working dtype, without gradients."""
    check_distance(distance)
    check_vectors(z, codebook)
    dtype = working_dtype(z, codebook)
    flat = z.detach().to(dtype).reshape(-1, z.shape[-1])
    return flat, codebook.detach().to(dtype)


def nearest_codeword(z: Tensor, codebook: Tensor, *, distance: Distance = "euclidean") -> Tensor:
    """Return the index of the codeword nearest to each vector: k* = argmin_k |z - e_k|².

    The result is that of a float64 brute force, ties to the lowest index: also for data far from
    the origin, for near-duplicate codewords and under any matmul precision or autocast. Temporary
    memory stays below 64 MiB (while one row of K scores does); no (N, K) tensor is built.

    Args:
        z: (*batch, D) vectors. Half precision is computed in float32, float64 in float64.
        codebook: (K, D) codewords, finite.
        distance: "euclidean", or "cosine" for the largest z·e / (|z| |e|), which is 0 where one of
            the two is zero.

    Returns:
        (*batch) int64 in [0, K). Vectors with NaN or infinity get 0. No gradient flows.

    Raises:
        ShapeError: dimensions, dtypes or devices do not fit, or K or D is 0.
        OptionError: `distance` is unknown.

    Example:
        >>> nearest_codeword(torch.tensor([[0.9], [0.1]]), torch.tensor([[0.0], [1.0]]))
        tensor([1, 0])

    Source:
        van den Oord, Vinyals, Kavukcuoglu 2017, "Neural discrete representation learning", eq. 1.
    """
    flat, book = _flat(z, codebook, distance)
    return _nearest(flat, book, distance == "cosine").reshape(z.shape[:-1])


def nearest_of_books(z: Tensor, codebooks: Tensor) -> Tensor:
    """Return the nearest codeword of every part of each vector, each part with its own codebook.

    Args:
        z: (N, books, D) vectors, float32 or float64.
        codebooks: (books, K, D) codewords in the same dtype, finite.

    Returns:
        (N, books) int64, each as of `nearest_codeword`; on a GPU in one launch. No gradient flows.

    Raises:
        ShapeError: dimensions, dtypes or devices do not fit.

    Example:
        >>> book = torch.tensor([[0.0], [1.0]])
        >>> nearest_of_books(torch.tensor([[[0.9], [0.1]]]), torch.stack([book, book]))
        tensor([[1, 0]])
    """
    check_books("z", z, 3, codebooks)
    return _nearest_of_books(z.detach(), codebooks.detach())


def residual_codes(z: Tensor, codebooks: Tensor) -> Tensor:
    """Return the greedy codes of a residual quantizer: each stage codes the remaining residual.

    Args:
        z: (N, D) vectors, float32 or float64.
        codebooks: (stages, K, D) codewords in the same dtype, finite.

    Returns:
        (N, stages) int64, each as of `nearest_codeword`; on a GPU in one launch. No gradient flows.

    Raises:
        ShapeError: dimensions, dtypes or devices do not fit.

    Example:
        >>> books = torch.tensor([[[0.0], [4.0]], [[0.0], [1.0]]])
        >>> residual_codes(torch.tensor([[4.9]]), books)
        tensor([[1, 1]])

    Source:
        Zeghidour et al. 2021 (SoundStream), algorithm 1.
    """
    check_books("z", z, 2, codebooks)
    return _residual_codes(z.detach(), codebooks.detach())


def nearest_codewords(
    z: Tensor, codebook: Tensor, count: int, *, distance: Distance = "euclidean"
) -> Tensor:
    """Return the indices of the `count` nearest codewords, nearest first, equal ones by index.

    Args:
        z: (*batch, D) vectors.
        codebook: (K, D) codewords, finite.
        count: 1 to K.
        distance: "euclidean" or "cosine".

    Returns:
        (*batch, count) int64. Vectors with NaN or infinity get 0, 1, 2, ...

    Raises:
        ShapeError: dimensions, dtypes or devices do not fit, or K or D is 0.
        OptionError: `count` is not in 1 to K, or `distance` is unknown.

    Example:
        >>> nearest_codewords(torch.tensor([0.9]), torch.tensor([[0.0], [1.0], [3.0]]), 2)
        tensor([1, 0])
    """
    flat, book = _flat(z, codebook, distance)
    if not 1 <= count <= codebook.shape[0]:
        raise OptionError(
            f"count: expected 1 to {codebook.shape[0]}, the codebook's size, got {count}; "
            "ask for fewer candidates"
        )
    codes = _nearest_several(flat, book, count, distance == "cosine")
    return codes.reshape(*z.shape[:-1], count)


def sample_codeword(
    z: Tensor,
    codebook: Tensor,
    temperature: float,
    *,
    distance: Distance = "euclidean",
    item_rows: int = 0,
) -> Tensor:
    """Draw a codeword for each vector: P(k) = softmax_k(-d_k² / temperature).

    Drawn block by block as argmax_k(-d_k²/T + g_k), Gumbel noise g of torch's global generator.

    Args:
        z: (*batch, D) vectors.
        codebook: (K, D) codewords, finite.
        temperature: T >= 0 in units of squared distance; 0 gives `nearest_codeword`.
        distance: d² is |z - e|², or for "cosine" |z/|z| - e/|e||² = 2 - 2 cos.
        item_rows: rows of each item of this rank's batch; then the ranks of a process group draw
            together what one process draws on the joined batch. 0 for draws of its own.

    Returns:
        (*batch) int64 in [0, K). Vectors with NaN or infinity get 0. No gradient flows.

    Raises:
        ShapeError: dimensions, dtypes or devices do not fit, or K or D is 0.
        OptionError: `temperature` is negative, or `distance` is unknown.

    Source:
        Maddison, Tarlow, Minka 2014, "A* sampling", section 2 (Gumbel-max).
    """
    check_temperature(temperature, zero=True)
    if temperature == 0:
        return nearest_codeword(z, codebook, distance=distance)
    flat, book = _flat(z, codebook, distance)
    cosine = distance == "cosine"
    codes = torch.ops.vocabula.sample(flat, book, float(temperature), cosine, item_rows)
    return codes.reshape(z.shape[:-1])
