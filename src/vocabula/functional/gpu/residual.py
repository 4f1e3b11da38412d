"""All stages of a residual quantizer in one launch: the residual never leaves the chip.

    r_1 = z      k_s = argmin_k |r_s - e_sk|²      r_{s+1} = z - (e_1 + ... + e_s)

A program keeps a block of rows and goes through the stages with it. Each stage is the search of
`search.py`, including the measuring in float64, before the next begins: it needs the residual.
"""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vocabula.functional.gpu.decide import measure_groups
from vocabula.functional.gpu.search import nearest
from vocabula.functional.gpu.tables import bounds, center, origin, prepare, rounded, slack

__all__ = ["residual_codes"]

#: A block of rows, its residual and the sum so far stay in registers up to this width.
_MOST_WIDTH = 64

#: Beyond this the codewords of a stage are better shared by several programs.
_MOST_CODEWORDS = 4096

#: Codewords of a tile, and groups whose least scores a row keeps, in registers.
_TILE = 64


@triton.jit
def _scan_stage(
    value,
    values,
    bias,
    tiles,
    WIDTH: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Return the least score of each column of the tiles, for a block of rows."""
    columns = tl.arange(0, BN)
    least = tl.full((BM, BN), float("inf"), tl.float32)
    e_at = values + columns[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    bias_at = bias + columns
    for _ in range(tiles):
        product = tl.dot(value, tl.trans(tl.load(e_at)), input_precision="tf32")
        least = tl.minimum(least, tl.load(bias_at)[None, :] - product)
        e_at += BN * WIDTH
        bias_at += BN
    return least


@triton.jit
def _decide_stage(
    least,
    error,
    answered,
    left,
    offset,
    codebook,
    tiles,
    K,
    D,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BF: tl.constexpr,
    BD: tl.constexpr,
):
    """Return the codes of a block of rows, measured in float64 in the groups near enough."""
    group = tl.arange(0, BN)[None, :]
    limit = tl.min(least, 1).to(tl.float64) + 2 * error
    # Negated, so that a NaN of overflow counts as near.
    near = answered[:, None] & ~(least.to(tl.float64) > limit[:, None])
    shortest = tl.full((BM,), float("inf"), tl.float64)
    code = tl.zeros((BM,), tl.int32)
    shortest, code = measure_groups(
        near,
        group,
        BN,
        tiles,
        tiles,
        left,
        offset,
        shortest,  # no lengths: the distance is Euclidean
        codebook,
        codebook,
        shortest,
        code,
        K,
        D,
        False,
        BN,
        BM,
        BF,
        BD,
    )
    return code


@triton.jit(do_not_specialize=["rows", "K", "stages", "tiles"])
def _encode(
    z,
    residual,
    codebooks,
    middle,
    values,
    bias,
    widest,
    codes,
    rows,
    K,
    D,
    stages,
    tiles,
    z_row,
    steps,
    double,
    underflow,
    WIDTH: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BF: tl.constexpr,
    BD: tl.constexpr,
):
    """Encode one block of rows, stage after stage."""
    row = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    column = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (column < D)[None, :]
    z += row[:, None] * z_row + column[None, :]
    total = tl.zeros((BM, WIDTH), tl.float32)
    for stage in range(stages):
        left = tl.load(z, mask=inside, other=0.0) - total
        # For the measuring, which gathers; no thread may read before all have written.
        tl.debug_barrier()
        tl.store(residual + row[:, None] * D + column[None, :], left, mask=inside)
        tl.debug_barrier()
        c = origin(middle + stage * D + tl.where(column < D, column, 0))
        gap = tl.where(inside, left.to(tl.float64) - c[None, :], 0.0)
        value = rounded(gap)
        finite = tl.min(tl.where(tl.abs(gap.to(tl.float32)) < float("inf"), 1, 0), 1) > 0
        lost = gap - value.to(tl.float64)
        z_norm, z_lost = tl.sqrt(tl.sum(gap * gap, 1)), tl.sqrt(tl.sum(lost * lost, 1))
        e_norm, e_lost = tl.load(widest + stage), tl.load(widest + stages + stage)
        e_half = tl.load(widest + 2 * stages + stage)
        error = slack(z_norm, z_lost, e_norm, e_lost, e_half, steps, double, underflow)
        first = stage * tiles * BN
        least = _scan_stage(value, values + first * WIDTH, bias + first, tiles, WIDTH, BM, BN)
        codebook = codebooks + stage * K * D
        answered = (row < rows) & finite
        code = _decide_stage(
            least, error, answered, residual, row * D, codebook, tiles, K, D, BM, BN, BF, BD
        )
        tl.store(codes + row * stages + stage, code.to(tl.int64), mask=row < rows)
        total += tl.load(codebook + code[:, None] * D + column[None, :], mask=inside, other=0.0)


def _by_stage(z: Tensor, codebooks: Tensor) -> Tensor:
    """Search stage by stage: the same codes, for sizes that one program cannot keep."""
    total = torch.zeros_like(z)
    codes = z.new_empty((z.shape[0], codebooks.shape[0]), dtype=torch.int64)
    for stage, codebook in enumerate(codebooks):
        codes[:, stage] = nearest(z - total, codebook, False)
        total += codebook[codes[:, stage]]
    return codes


def residual_codes(z: Tensor, codebooks: Tensor) -> Tensor:
    """Return the greedy codes of a residual quantizer, searched stage by stage.

    All stages take one launch, after one for the tables, up to D = 64 and K = 4096.

    Args:
        z: (N, D) float32.
        codebooks: (stages, K, D) float32, finite; compared by Euclidean distance.

    Returns:
        (N, stages) int64; 0 for vectors with NaN or infinity.

    Source:
        Zeghidour et al. 2021 (SoundStream), algorithm 1.
    """
    rows, size = z.shape
    stages, K, _ = codebooks.shape
    codebooks = codebooks.contiguous()
    if rows == 0 or stages == 0 or size > _MOST_WIDTH or K > _MOST_CODEWORDS:
        return _by_stage(z, codebooks)
    width = max(16, triton.next_power_of_2(size))
    z = z if z.stride(1) == 1 else z.contiguous()
    codes = z.new_empty((rows, stages), dtype=torch.int64)
    tiles = triton.cdiv(K, _TILE)
    with torch.cuda.device_of(z):
        middle = center(codebooks, False)
        table = prepare(codebooks, middle, padded=tiles * _TILE, width=width, columns=_TILE)
        tables = [table.values, table.bias, table.widest()]
        sizes = [rows, K, size, stages, tiles, z.stride(0)]
        _encode[(triton.cdiv(rows, 64),)](
            *(z, torch.empty_like(z, memory_format=torch.contiguous_format), codebooks, middle),
            *(*tables, codes, *sizes),
            *bounds(size),
            WIDTH=width,
            BM=64,
            BN=_TILE,
            BF=2,
            BD=16,
            num_warps=8,
            num_stages=2,
        )
    return codes
