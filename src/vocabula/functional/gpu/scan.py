"""The pass over all scores of a search: tile by tile, in registers; see `search`."""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["scan"]


@triton.jit(do_not_specialize=["tiles", "segment_tiles", "groups"])
def scan(
    z_values,
    e_values,
    bias,
    minima,
    z_rows,
    e_rows,
    tiles,
    segment_tiles,
    groups,
    WIDTH: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Find the least score of each group of a segment, for a block of rows.

    A group is a column of the tiles, so its minimum takes one operation a score and no exchange
    between threads.
    """
    segment, book = tl.program_id(1), tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.arange(0, BN)
    parts = tl.arange(0, BD)
    first = segment * segment_tiles
    last = tl.minimum(first + segment_tiles, tiles)
    bias_at = bias + book * e_rows + first * BN + columns
    z_at = z_values + (book * z_rows + rows)[:, None] * WIDTH + parts[None, :]
    e_at = e_values + (book * e_rows + first * BN + columns)[:, None] * WIDTH + parts[None, :]
    if WIDTH == BD:
        z_tile = tl.load(z_at)
    least = tl.full((BM, BN), float("inf"), tl.float32)
    for _ in range(first, last):
        if WIDTH == BD:
            product = tl.dot(z_tile, tl.trans(tl.load(e_at)), input_precision="tf32")
        else:
            product = tl.zeros((BM, BN), tl.float32)
            for start in range(0, WIDTH, BD):
                z_part, e_part = tl.load(z_at + start), tl.load(e_at + start)
                product = tl.dot(z_part, tl.trans(e_part), product, input_precision="tf32")
        least = tl.minimum(least, tl.load(bias_at)[None, :] - product)
        e_at += BN * WIDTH
        bias_at += BN
    place = (book * z_rows + rows)[:, None] * groups + segment * BN + columns[None, :]
    tl.store(minima + place, least)
