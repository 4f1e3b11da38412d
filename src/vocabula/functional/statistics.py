"""Statistics of codes: counts, sums, usage, perplexity, and means that respect a mask.

Everything is a scatter: the (N, K) one-hot matrix, 1 GB of int64 at 16384 x 8192, is never built.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.errors import CodeError, ShapeError
from vocabula.functional._checks import (
    amount,
    at_least_some,
    check_counts,
    check_floating,
    check_mask,
    check_size,
    counted,
)
from vocabula.functional.distributed import all_reduce_sum, world_size
from vocabula.functional.modes import readable

__all__ = [
    "code_counts",
    "code_statistics",
    "code_sums",
    "entropy",
    "masked_mean",
    "masked_row_mean",
    "perplexity",
    "usage",
    "weighted_statistics",
]


def _check_layout(codes: Tensor, codebook_size: int, mask: Tensor | None) -> None:
    check_size("codebook_size", codebook_size)
    check_mask(mask, codes.shape, "the codes")
    if codes.dtype != torch.int64:
        raise ShapeError(f"codes: expected torch.int64, got {codes.dtype}; convert with .long()")


def _check_codes(codes: Tensor, codebook_size: int, mask: Tensor | None) -> Tensor:
    """Return flat codes, with masked ones replaced by 0, after all checks that cost nothing."""
    _check_layout(codes, codebook_size, mask)
    if mask is not None:
        codes = torch.where(mask, codes, 0)
    # On an accelerator reading a value would stall the stream: there the kernel itself asserts.
    values = readable(codes) if codes.is_cpu and codes.numel() > 0 else None
    if values is not None:
        low, high = (int(bound) for bound in values.aminmax())
        if low < 0 or high >= codebook_size:
            raise CodeError(
                f"codes: expected values in [0, {codebook_size - 1}], got {low} to {high}; "
                "use codes of the same codebook"
            )
    return codes.reshape(-1)


def _check_vectors(z: Tensor, codes: Tensor) -> None:
    check_floating("z", z)
    if z.shape[:-1] != codes.shape or z.dim() == 0:
        raise ShapeError(
            f"codes: expected shape {tuple(z.shape[:-1])} as the vectors', "
            f"got {tuple(codes.shape)}; give one code a vector"
        )


def code_counts(codes: Tensor, codebook_size: int, mask: Tensor | None = None) -> Tensor:
    """Count how often each code occurs: counts_k = |{n : codes_n = k}|.

    Args:
        codes: (*batch) int64 in [0, codebook_size).
        codebook_size: K >= 1.
        mask: (*batch) bool, true where a code counts; None counts all.

    Returns:
        (K,) int64.

    Raises:
        CodeError: a code is out of range (checked on the CPU).
        ShapeError: `codes` is not int64, or `mask` is not boolean of the same shape.

    Example:
        >>> code_counts(torch.tensor([0, 2, 2]), 3)
        tensor([1, 0, 2])
    """
    flat = _check_codes(codes, codebook_size, mask)
    ones = torch.ones_like(flat) if mask is None else mask.reshape(-1).long()
    return flat.new_zeros(codebook_size).scatter_add(0, flat, ones)


def code_sums(z: Tensor, codes: Tensor, codebook_size: int, mask: Tensor | None = None) -> Tensor:
    """Sum the vectors of each code: sums_k = Σ z_n over the n with codes_n = k.

    Args:
        z: (*batch, D) vectors; rows outside the mask may hold anything, NaN included.
        codes: (*batch) int64 in [0, codebook_size).
        codebook_size: K >= 1.
        mask: (*batch) bool, true where a vector counts; None counts all.

    Returns:
        (K, D) float32 for any dtype of `z`: sums in half precision stall. No gradient flows.

    Raises:
        CodeError: a code is out of range (checked on the CPU).
        ShapeError: shapes or dtypes do not fit.

    Example:
        >>> code_sums(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 2, 2]), 3)
        tensor([[1.],
                [0.],
                [6.]])
    """
    _check_vectors(z, codes)
    flat = _check_codes(codes, codebook_size, mask)
    vectors = z.detach().float()
    if mask is not None:  # where, not a product: 0 * NaN is NaN
        vectors = torch.where(mask.unsqueeze(-1), vectors, 0.0)
    vectors = vectors.reshape(-1, z.shape[-1])
    return vectors.new_zeros((codebook_size, z.shape[-1])).index_add(0, flat, vectors)


@torch.library.custom_op(
    "vocabula::code_statistics",
    mutates_args=(),
    schema="(Tensor z, Tensor codes, Tensor? mask, int size) -> (Tensor, Tensor)",
)
def _code_statistics(
    z: Tensor, codes: Tensor, mask: Tensor | None, size: int
) -> tuple[Tensor, Tensor]:
    return code_counts(codes, size, mask), code_sums(z, codes, size, mask)


@_code_statistics.register_fake
def _(z: Tensor, codes: Tensor, mask: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    sums = z.new_empty((size, z.shape[1]), dtype=torch.float32)
    return codes.new_empty(size), sums


def code_statistics(
    z: Tensor, codes: Tensor, codebook_size: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return `code_counts` (K,) and `code_sums` (K, D) together; on a GPU in one launch.

    Args:
        z: (N, D) vectors.
        codes: (N,) int64 in [0, codebook_size).
        codebook_size: K >= 1.
        mask: (N,) bool, true where a vector counts; None counts all.

    Raises:
        CodeError: a code is out of range (checked on the CPU).
        ShapeError: shapes or dtypes do not fit.

    Example:
        >>> code_statistics(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1]), 2)
        (tensor([0, 2]), tensor([[0.],
                [3.]]))
    """
    if z.device.type == "cpu" and not torch.compiler.is_compiling():
        return code_counts(codes, codebook_size, mask), code_sums(z, codes, codebook_size, mask)
    _check_vectors(z, codes)
    _check_layout(codes, codebook_size, mask)
    return _code_statistics(z.detach(), codes, mask, codebook_size)


def weighted_statistics(
    z: Tensor, codes: Tensor, codebook_size: int, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return Σ w_n and Σ w_n z_n over the n with codes_n = k: (K,) and (K, D) float32.

    Args:
        z: (N, D) vectors; rows of weight 0 may hold anything, NaN included.
        codes: (N,) int64 in [0, codebook_size).
        codebook_size: K >= 1.
        weights: (N,) floating point, not negative.

    Raises:
        CodeError: a code is out of range (checked on the CPU).
        ShapeError: shapes or dtypes do not fit.

    Example:
        >>> weighted_statistics(
        ...     torch.tensor([[1.0], [4.0]]), torch.tensor([1, 1]), 2, torch.tensor([0.5, 2.0]))
        (tensor([0.0000, 2.5000]), tensor([[0.0000],
                [8.5000]]))
    """
    check_counts(weights, codes.shape, "the codes")
    _check_vectors(z, codes)
    there = counted(weights)
    flat, factor = _check_codes(codes, codebook_size, there), weights.float()
    vectors = torch.where(there[:, None], z.detach().float(), 0.0) * factor[:, None]
    counts = factor.new_zeros(codebook_size).scatter_add(0, flat, factor)
    sums = vectors.new_zeros((codebook_size, z.shape[1])).index_add(0, flat, vectors)
    return counts, sums


def usage(counts: Tensor) -> Tensor:
    """Return the fraction of codewords used at least once.

    Args:
        counts: (..., K) non-negative.

    Returns:
        (...) float32 in [0, 1].

    Example:
        >>> usage(torch.tensor([3, 0, 1, 0]))
        tensor(0.5000)
    """
    return (counts > 0).float().mean(-1)


def perplexity(counts: Tensor) -> Tensor:
    """Return the effective number of codewords, exp(H) with H = -Σ p_k log p_k, p = counts / total.

    Args:
        counts: (..., K) non-negative, integers or floats.

    Returns:
        (...) float32 in [1, K]; K when all codewords are used alike, and 1 when one is, or when all
        counts are zero (an empty histogram has entropy 0).

    Example:
        >>> perplexity(torch.tensor([5, 5, 0, 0]))
        tensor(2.)
    """
    weights = counts.double()
    p = weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return entropy(p).exp().clamp(1.0, float(counts.shape[-1])).float()


def entropy(p: Tensor, dim: int = -1) -> Tensor:
    """Return the entropy -Σ p log p in nats, with 0 log 0 = 0 exactly.

    No constant is added to p: log(p + 1e-5) reads 11.51 instead of 12.48 at 2^18 equal codes and
    kills the gradient. The gradient -(log p + 1) is infinite at p = 0; there it is -log of the
    smallest normal number (87 in float32), finite, so that 0 probabilities can grow.

    Args:
        p: (..., K, ...) probabilities, non-negative; not normalised here.
        dim: the dimension to sum over.

    Returns:
        p's shape without `dim`, in p's dtype.

    Example:
        >>> entropy(torch.tensor([0.5, 0.5, 0.0]))
        tensor(0.6931)
    """
    check_floating("p", p)
    floor = torch.finfo(p.dtype).tiny
    return -(p * p.clamp_min(floor).log()).sum(dim)


def masked_row_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over the rows of `x` whose mask is true, or sum(w x) / sum(w) for weights w.

    In a process group it is world_size * (sum here) / (rows on all ranks), so that the average over
    ranks, which DistributedDataParallel takes of gradients, is the mean of the joined batch. Every
    rank must call it, even if its mask is all false.

    Args:
        x: (N, ...) values; masked rows may hold anything, NaN included.
        mask: (N,) bool, floating weights that are not negative, or None for all rows; the same
            kind on all ranks.

    Returns:
        (...), x's shape without the rows, at least float32; zeros, with a graph, without any row.

    Raises:
        ShapeError: `x` has no rows, or `mask` is not boolean (N,).
    """
    check_floating("x", x)
    if x.dim() == 0:
        raise ShapeError("x: expected shape (N, ...), got (); add a dimension of rows")
    check_counts(mask, x.shape[:1], "the rows")
    x = x if x.dtype == torch.float64 else x.float()
    if mask is None and not torch.compiler.is_compiling() and world_size() == 1:
        return x.sum(0) / max(1, x.shape[0])
    if mask is None:
        mask = torch.ones(x.shape[:1], dtype=torch.bool, device=x.device)
    shape = (-1, *[1] * (x.dim() - 1))
    kept = torch.where(counted(mask).reshape(shape), x, 0.0)
    if mask.is_floating_point():
        kept = kept * mask.reshape(shape).to(x.dtype)
    total, count = kept.sum(0), amount(mask)
    # The number of ranks comes from the same collective: a compiled graph does not freeze it.
    rows, ranks = all_reduce_sum(torch.stack([count, torch.ones_like(count)])).unbind()
    return total * (ranks.to(total.dtype) / at_least_some(rows)).to(total.dtype)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over all elements in the rows of `x` whose mask is true.

    In a process group the average of the result over ranks is the mean of the joined batch; see
    `masked_row_mean`. Every rank must call it.

    Args:
        x: (N, ...) values; masked rows may hold anything, NaN included.
        mask: (N,) bool, floating weights that are not negative, or None for all rows.

    Returns:
        (), at least float32; 0, with a graph, where no row counts.

    Raises:
        ShapeError: `x` has no rows, or `mask` is not boolean (N,).

    Example:
        >>> masked_mean(torch.tensor([[1.0, 3.0], [9.0, 9.0]]), torch.tensor([True, False]))
        tensor(2.)
    """
    return masked_row_mean(x, mask).mean()
