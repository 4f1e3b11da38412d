"""How often each code occurs and the sum of its vectors, in one launch of atomic additions.

It uses atomics rather than sorted segments: with K in the hundreds or more, two concurrent rows
rarely meet at one address, the additions retire in the level-two cache without a program waiting
for them, and z is read once. A sort would read and write the codes four times before the first sum.
The order of a sum changes from run to run, as in `index_add`; if
`torch.use_deterministic_algorithms` asks for a fixed order, that function takes over.
"""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["code_counts_sums"]


# Assertions are on in this kernel alone; they must not check arithmetic.
@triton.jit(debug=True, do_not_specialize=["rows", "K"])
def _accumulate(
    z,
    codes,
    mask,
    counts,
    sums,
    rows,
    K,
    D,
    z_row,
    MASKED: tl.constexpr,
    BR: tl.constexpr,
    BD: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.program_id(1) * BD + tl.arange(0, BD)
    counted = row < rows
    if MASKED:
        counted = counted & (tl.load(mask + row, mask=counted, other=0) != 0)
    code = tl.load(codes + row, mask=counted, other=0)
    known = (code >= 0) & (code < K)
    tl.device_assert(known, "codes: expected values in [0, K - 1]; use codes of the same codebook")
    counted = counted & known
    here = counted[:, None] & (column < D)[None, :]
    value = tl.load(z + row[:, None] * z_row + column[None, :], mask=here, other=0.0)
    at = sums + code[:, None] * D + column[None, :]
    tl.atomic_add(at, value.to(tl.float32), mask=here, sem="relaxed")
    if tl.program_id(1) == 0:
        tl.atomic_add(counts + code, tl.full((BR,), 1, tl.int64), mask=counted, sem="relaxed")


def code_counts_sums(
    z: Tensor, codes: Tensor, K: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return how often each code occurs, and the sum of its vectors.

    counts_k = |{n : codes_n = k}|,  sums_k = Σ z_n over the n with codes_n = k.

    Args:
        z: (N, D) vectors of any floating dtype; rows outside the mask may hold anything.
        codes: (N,) int64 in [0, K) where the mask is true; the device asserts it.
        K: number of codewords.
        mask: (N,) bool, true where a row counts; None counts all.

    Returns:
        counts (K,) int64 and sums (K, D) float32.
    """
    rows, size = z.shape
    counts = codes.new_zeros(K)
    sums = z.new_zeros((K, size), dtype=torch.float32)
    if rows == 0 or size == 0:
        return counts, sums
    if torch.are_deterministic_algorithms_enabled():
        kept = torch.ones_like(codes, dtype=torch.bool) if mask is None else mask
        codes = torch.where(kept, codes, 0)
        vectors = torch.where(kept.unsqueeze(-1), z.float(), 0.0)
        return counts.scatter_add(0, codes, kept.long()), sums.index_add(0, codes, vectors)
    z = z if z.stride(1) == 1 else z.contiguous()
    codes = codes.contiguous()
    columns = min(64, triton.next_power_of_2(size))
    block = 2048 // columns
    with torch.cuda.device_of(z):
        _accumulate[(triton.cdiv(rows, block), triton.cdiv(size, columns))](
            z,
            codes,
            codes if mask is None else mask.contiguous().view(torch.uint8),
            counts,
            sums,
            rows,
            K,
            size,
            z.stride(0),
            MASKED=mask is not None,
            BR=block,
            BD=columns,
            num_warps=4,
            sanitize_overflow=False,
        )
    return counts, sums


def code_statistics(
    z: Tensor, codes: Tensor, mask: Tensor | None, size: int
) -> tuple[Tensor, Tensor]:
    """Return counts (size,) and sums (size, D), in the operator's order of arguments."""
    return code_counts_sums(z, codes, size, mask)
