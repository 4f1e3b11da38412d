"""The pass over all scores of a search: tile by tile, in registers; see `search`."""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["lowest", "scan"]


@triton.jit
def lowest(score, columns, BN: tl.constexpr):
    """Return the least score of each row of a tile, the least of the others, and its column.

    The column comes out of a sum over the places of the least score, each raised by BN, which an
    adder of three operands does at half the cost of a minimum: two places show as 2 BN or more.
    Then the column is wrong, and the runner-up equal: such a row is in doubt in any case.
    """
    low = tl.min(score, 1)
    here = score == low[:, None]
    place = tl.sum(tl.where(here, columns[None, :] + BN, 0), 1)
    rest = tl.min(tl.where(here, float("inf"), score), 1)
    return low, tl.where(place < 2 * BN, rest, low), place - BN


@triton.jit(do_not_specialize=["tiles", "split_tiles", "group_tiles", "groups"])
def scan(
    z_values,
    e_values,
    bias,
    best_out,
    second_out,
    code_out,
    minima,
    z_rows,
    e_rows,
    tiles,
    split_tiles,
    group_tiles,
    groups,
    WIDTH: tl.constexpr,
    NARROW: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Find the best two scores and the group minima of a block of rows, in one split."""
    split, book = tl.program_id(1), tl.program_id(2)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.arange(0, BN)
    parts = tl.arange(0, BD if not NARROW else 16)
    first = split * split_tiles
    last = tl.minimum(first + split_tiles, tiles)
    z_values += book.to(tl.int64) * z_rows * WIDTH
    e_values += book.to(tl.int64) * e_rows * WIDTH
    bias_at = bias + book.to(tl.int64) * e_rows + first * BN + columns
    if NARROW:
        z_at = z_values + rows
        e_at = e_values + first * BN + columns
    else:
        z_at = z_values + rows.to(tl.int64)[:, None] * WIDTH + parts[None, :]
        e_at = e_values + (first * BN + columns).to(tl.int64)[:, None] * WIDTH + parts[None, :]
        if WIDTH == BD:
            z_tile = tl.load(z_at)
    best = tl.full((BM,), float("inf"), tl.float32)
    second = tl.full((BM,), float("inf"), tl.float32)
    least = tl.full((BM,), float("inf"), tl.float32)
    code = tl.zeros((BM,), tl.int32)
    for tile in range(first, last):
        product = tl.zeros((BM, BN), tl.float32)
        if NARROW:
            for part in tl.static_range(WIDTH):
                z_part = tl.load(z_at + part * z_rows.to(tl.int64))
                e_part = tl.load(e_at + part * e_rows.to(tl.int64))
                product += z_part[:, None] * e_part[None, :]
            e_at += BN
        elif WIDTH == BD:
            product = tl.dot(z_tile, tl.trans(tl.load(e_at)), input_precision=PRECISION)
            e_at += BN * WIDTH
        else:
            for start in range(0, WIDTH, BD):
                z_part, e_part = tl.load(z_at + start), tl.load(e_at + start)
                product = tl.dot(z_part, tl.trans(e_part), product, input_precision=PRECISION)
            e_at += BN * WIDTH
        score = tl.load(bias_at)[None, :] - product
        bias_at += BN
        low, rest, place = lowest(score, columns, BN)
        second = tl.minimum(tl.maximum(best, low), tl.minimum(second, rest))
        code = tl.where(low < best, place + tile * BN, code)
        best = tl.minimum(best, low)
        group = tile // group_tiles
        least = tl.where(group * group_tiles == tile, low, tl.minimum(least, low))
        tl.store(minima + (book * groups + group).to(tl.int64) * z_rows + rows, least)
    place = (book * tl.num_programs(1) + split).to(tl.int64) * z_rows + rows
    tl.store(best_out + place, best)
    tl.store(second_out + place, second)
    tl.store(code_out + place, code)
