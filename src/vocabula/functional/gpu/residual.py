"""All stages of a residual quantizer in one launch: the residual never leaves the chip.

    r_1 = z      k_s = argmin_k |r_s - e_sk|²      r_{s+1} = z - (e_1 + ... + e_s)

A program keeps a block of rows and goes through the stages with it. Each stage is the search of
`search.py`, including doubtful rows: they are measured again in float64 before the next stage
begins, because it needs their residual.
"""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vocabula.functional.gpu.decide import nearer
from vocabula.functional.gpu.scan import lowest
from vocabula.functional.gpu.search import nearest
from vocabula.functional.gpu.tables import bounds, center, origin, prepare, rounded, slack

__all__ = ["residual_codes"]

#: A block of rows, its residual and the sum so far stay in registers up to this width.
_MOST_WIDTH = 128

#: Beyond this the codewords of a stage are better shared by several programs.
_MOST_CODEWORDS = 4096

#: Codewords of a tile.
_TILE = 64

#: Groups of codewords whose least scores a row keeps, in registers.
_GROUPS = 16


@triton.jit
def _measure_again(
    pending,
    code,
    left,
    least,
    highest,
    codebook,
    groups,
    group_codewords,
    K,
    D,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Return the codes after measuring the pending rows in float64, in the groups near enough."""
    index = tl.arange(0, BM)
    group = tl.arange(0, GROUPS)
    column = tl.arange(0, WIDTH)
    inside = column < D
    while tl.max(pending, 0) > 0:
        one = tl.min(tl.where(pending > 0, index, BM), 0)
        limit = tl.sum(tl.where(index == one, highest, 0.0), 0)
        x = tl.sum(tl.where((index == one)[:, None], left, 0.0), 0).to(tl.float64)
        low = tl.min(tl.where((index == one)[:, None], least, float("inf")), 0)
        # Negated, so that a NaN of overflow counts as near.
        near = ((group < groups) & ~(low.to(tl.float64) > limit)).to(tl.int32)
        shortest = tl.full((), float("inf"), tl.float64)
        found = tl.full((), 0, tl.int32)
        while tl.max(near, 0) > 0:
            nearest_group = tl.min(tl.where(near > 0, group, GROUPS), 0)
            first = nearest_group * group_codewords
            last = tl.minimum(first + group_codewords, K)
            for start in range(first, last, BN):
                codewords = start + tl.arange(0, BN)
                known = (codewords < K)[:, None] & inside[None, :]
                at = codebook + codewords[:, None] * D + column[None, :]
                gap = x[None, :] - tl.load(at, mask=known, other=0.0).to(tl.float64)
                distance = tl.sum(gap * gap, 1)
                shortest, found = nearer(distance, codewords, shortest, found, K)
            near = tl.where(group == nearest_group, 0, near)
        code = tl.where(index == one, found, code)
        pending = tl.where(index == one, 0, pending)
    return code


@triton.jit
def _scan_stage(
    value,
    values,
    bias,
    tiles,
    group_tiles,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Return the best two scores, the code and the groups' least scores of a block of rows."""
    columns = tl.arange(0, BN)
    group = tl.arange(0, GROUPS)
    best = tl.full((BM,), float("inf"), tl.float32)
    second = tl.full((BM,), float("inf"), tl.float32)
    code = tl.zeros((BM,), tl.int32)
    least = tl.full((BM, GROUPS), float("inf"), tl.float32)
    e_at = values + columns[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    bias_at = bias + columns
    for tile in range(tiles):
        product = tl.dot(value, tl.trans(tl.load(e_at)), input_precision=PRECISION)
        low, rest, place = lowest(tl.load(bias_at)[None, :] - product, columns, BN)
        second = tl.minimum(tl.maximum(best, low), tl.minimum(second, rest))
        code = tl.where(low < best, place + tile * BN, code)
        best = tl.minimum(best, low)
        here = (group == tile // group_tiles)[None, :]
        least = tl.where(here, tl.minimum(least, low[:, None]), least)
        e_at += BN * WIDTH
        bias_at += BN
    return best, second, code, least


@triton.jit(do_not_specialize=["rows", "K", "stages", "tiles", "group_tiles", "groups"])
def _encode(
    z,
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
    group_tiles,
    groups,
    z_row,
    steps,
    double,
    underflow,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BF: tl.constexpr,
):
    """Encode one block of rows, stage after stage."""
    row = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    column = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (column < D)[None, :]
    x = tl.load(z + row[:, None] * z_row + column[None, :], mask=inside, other=0.0)
    total = tl.zeros((BM, WIDTH), tl.float32)
    for stage in range(stages):
        left = x - total
        c = origin(middle + stage * D + tl.where(column < D, column, 0))
        gap = tl.where(inside, left.to(tl.float64) - c[None, :], 0.0)
        value = rounded(gap, ROUND)
        finite = tl.min(tl.where(tl.abs(gap.to(tl.float32)) < float("inf"), 1, 0), 1) > 0
        lost = gap - value.to(tl.float64)
        z_norm, z_lost = tl.sqrt(tl.sum(gap * gap, 1)), tl.sqrt(tl.sum(lost * lost, 1))
        e_norm, e_lost = tl.load(widest + stage), tl.load(widest + stages + stage)
        e_half = tl.load(widest + 2 * stages + stage)
        error = slack(z_norm, z_lost, e_norm, e_lost, e_half, steps, double, underflow)
        first = stage * tiles * BN
        best, second, code, least = _scan_stage(
            value,
            values + first * WIDTH,
            bias + first,
            tiles,
            group_tiles,
            WIDTH,
            GROUPS,
            PRECISION,
            BM,
            BN,
        )
        highest = best.to(tl.float64) + 2 * error
        doubtful = (row < rows) & finite & ~(second.to(tl.float64) > highest)
        codebook = codebooks + stage * K * D
        code = _measure_again(
            doubtful.to(tl.int32),
            tl.where(finite, code, 0),
            left,
            least,
            highest,
            codebook,
            groups,
            group_tiles * BN,
            K,
            D,
            WIDTH,
            GROUPS,
            BM,
            BF,
        )
        tl.store(codes + row * stages + stage, code.to(tl.int64), mask=row < rows)
        total += tl.load(codebook + code[:, None] * D + column[None, :], mask=inside, other=0.0)


def _by_stage(z: Tensor, codebooks: Tensor, fast: bool | None) -> Tensor:
    """Search stage by stage: the same codes, for sizes that one program cannot keep."""
    total = torch.zeros_like(z)
    codes = z.new_empty((z.shape[0], codebooks.shape[0]), dtype=torch.int64)
    for stage, codebook in enumerate(codebooks):
        codes[:, stage] = nearest(z - total, codebook, False, fast=fast)
        total += codebook[codes[:, stage]]
    return codes


def residual_codes(z: Tensor, codebooks: Tensor, *, fast: bool | None = None) -> Tensor:
    """Return the greedy codes of a residual quantizer, searched stage by stage.

    All stages take one launch, after one for the tables, up to D = 128 and K = 4096.

    Args:
        z: (N, D) float32.
        codebooks: (stages, K, D) float32, finite; compared by Euclidean distance.
        fast: products in TF32; None allows it where `torch.get_float32_matmul_precision` is not
            "highest". The codes are the same.

    Returns:
        (N, stages) int64; 0 for vectors with NaN or infinity.

    Source:
        Zeghidour et al. 2021 (SoundStream), algorithm 1.
    """
    rows, size = z.shape
    stages, K, _ = codebooks.shape
    codebooks = codebooks.contiguous()
    if rows == 0 or stages == 0 or size > _MOST_WIDTH or K > _MOST_CODEWORDS:
        return _by_stage(z, codebooks, fast)
    if fast is None:
        fast = torch.get_float32_matmul_precision() != "highest"
    width = max(16, triton.next_power_of_2(size))
    fast = fast and width > 16
    z = z if z.stride(1) == 1 else z.contiguous()
    codes = z.new_empty((rows, stages), dtype=torch.int64)
    tiles = triton.cdiv(K, _TILE)
    group_tiles = triton.cdiv(tiles, _GROUPS)
    groups = triton.cdiv(tiles, group_tiles)
    with torch.cuda.device_of(z):
        middle = center(codebooks, False)
        table = prepare(codebooks, middle, padded=tiles * _TILE, width=width, fast=fast)
        tensors = [z, codebooks, middle, table.values, table.bias, table.widest(), codes]
        sizes = [rows, K, size, stages, tiles, group_tiles, groups, z.stride(0)]
        _encode[(triton.cdiv(rows, 64),)](
            *tensors,
            *sizes,
            *bounds(size, fast),
            WIDTH=width,
            GROUPS=_GROUPS,
            ROUND=fast,
            PRECISION="tf32" if fast else "ieee",
            BM=64,
            BN=_TILE,
            BF=2048 // width,
            num_warps=8 if width > 64 else 4,
            num_stages=2,
        )
    return codes
