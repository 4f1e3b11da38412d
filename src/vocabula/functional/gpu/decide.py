"""The final step of a search: the codewords of the groups near enough, in float64."""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from vocabula.functional.gpu.tables import slack

__all__ = ["decide", "measure_groups"]


@triton.jit
def _spread(x, BR: tl.constexpr, BN: tl.constexpr):
    """Repeat each element of x (BR,) BN times: (BR * BN,)."""
    return tl.reshape(tl.broadcast_to(x[:, None], (BR, BN)), (BR * BN,))


@triton.jit
def _measure(
    z,
    z_offset,
    z_length,
    codebook,
    e_length,
    first,
    count,
    longest,
    shortest,
    code,
    K,
    D,
    COSINE: tl.constexpr,
    BR: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Measure every row against its own `count` codewords from `first` on, in float64.

    Returns the shortest distance so far and its code, (BR,) each; of equals the lowest code.
    """
    z_offset = _spread(z_offset, BR, BN)
    first, count = _spread(first, BR, BN), _spread(count, BR, BN)
    offset = tl.arange(0, BR * BN) % BN
    if COSINE:
        z_length = _spread(z_length, BR, BN)
    for start in range(0, longest, BN):
        codewords = first + start + offset
        known = (start + offset < count) & (codewords < K)
        distance = tl.zeros((BR * BN,), tl.float64)
        if COSINE:
            length = tl.load(e_length + codewords, mask=known, other=1.0)
            distance += tl.where(length > 0, 0.0, 1.0)
            length = tl.where(length > 0, length, 1.0)
        for part in range(0, D, BD):
            column = part + tl.arange(0, BD)
            inside = known[:, None] & (column < D)[None, :]
            x = tl.load(z + z_offset[:, None] + column[None, :], mask=inside, other=0.0)
            at = codebook + codewords.to(tl.int64)[:, None] * D + column[None, :]
            e = tl.load(at, mask=inside, other=0.0).to(tl.float64)
            x = x.to(tl.float64)
            if COSINE:
                x = x / z_length[:, None]
                e = e / length[:, None]
            gap = x - e
            distance += tl.sum(gap * gap, 1)
        distance = tl.reshape(tl.where(known, distance, float("inf")), (BR, BN))
        low = tl.min(distance, 1)
        here = distance == low[:, None]
        place = tl.min(tl.where(here, tl.reshape(codewords, (BR, BN)), K), 1)
        nearer = (low < shortest) | ((low == shortest) & (place < code))
        code = tl.where(nearer, place, code)
        shortest = tl.minimum(shortest, low)
    return shortest, code


@triton.jit
def measure_groups(
    near,
    group,
    groups,
    tiles,
    segment_tiles,
    z,
    z_offset,
    z_length,
    codebook,
    e_length,
    shortest,
    code,
    K,
    D,
    COSINE: tl.constexpr,
    COLUMNS: tl.constexpr,
    BR: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Measure every row against its own groups: those where `near` (BR, *) is true, in order."""
    chosen = tl.min(tl.where(near, group, groups), 1)
    while tl.min(chosen, 0) < groups:
        segment, column = chosen // COLUMNS, chosen % COLUMNS
        before = segment * segment_tiles
        count = tl.minimum(segment_tiles, tiles - before)
        shortest, code = _measure(
            z,
            z_offset,
            z_length,
            codebook,
            e_length,
            column * tiles + before,
            tl.where(chosen < groups, count, 0),
            segment_tiles,
            shortest,
            code,
            K,
            D,
            COSINE,
            BR,
            BN,
            BD,
        )
        near = near & (group > chosen[:, None])
        chosen = tl.min(tl.where(near, group, groups), 1)
    return shortest, code


@triton.jit
def _best(minima, groups, BR: tl.constexpr, BG: tl.constexpr):
    """Return the least score of every row, (BR,), over all groups."""
    best = tl.full((BR,), float("inf"), tl.float32)
    for start in range(0, groups, BG):
        group = start + tl.arange(0, BG)[None, :]
        least = tl.load(minima + group, mask=group < groups, other=float("inf"))
        best = tl.minimum(best, tl.min(least, 1))
    return best


@triton.jit(do_not_specialize=["rows", "K", "groups", "tiles", "segment_tiles"])
def decide(
    z,
    codebooks,
    z_measures,
    e_measures,
    widest,
    minima,
    codes,
    rows,
    K,
    D,
    z_rows,
    e_rows,
    groups,
    tiles,
    segment_tiles,
    z_row,
    z_book,
    codes_row,
    steps,
    double,
    underflow,
    COSINE: tl.constexpr,
    COLUMNS: tl.constexpr,
    BR: tl.constexpr,
    BG: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Find the nearest codeword of a block of rows, in the groups that can hold it."""
    book, books = tl.program_id(1).to(tl.int64), tl.num_programs(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    measures = z_measures + book * z_rows + row
    norm, lost = tl.load(measures), tl.load(measures + books * z_rows)
    length = tl.load(measures + 3 * books * z_rows)
    e_norm = tl.load(widest + book)
    e_lost = tl.load(widest + books + book)
    e_half = tl.load(widest + 2 * books + book)
    error = slack(norm, lost, e_norm, e_lost, e_half, steps, double, underflow)
    # A row that is not finite has no norm; a zero vector is as near to one direction as to another.
    answered = (row < rows) & (norm == norm)
    if COSINE:
        answered = answered & (length > 0)
    minima += (book * z_rows + row)[:, None] * groups
    limit = _best(minima, groups, BR, BG).to(tl.float64) + 2 * error
    shortest = tl.full((BR,), float("inf"), tl.float64)
    code = tl.zeros((BR,), tl.int32)
    for start in range(0, groups, BG):
        group = start + tl.arange(0, BG)[None, :]
        least = tl.load(minima + group, mask=group < groups, other=0.0)
        # Negated, so that a NaN of overflow counts as near.
        near = answered[:, None] & (group < groups) & ~(least.to(tl.float64) > limit[:, None])
        shortest, code = measure_groups(
            near,
            group,
            groups,
            tiles,
            segment_tiles,
            z + book * z_book,
            row * z_row,
            length,
            codebooks + book * K * D,
            e_measures + (3 * books + book) * e_rows,
            shortest,
            code,
            K,
            D,
            COSINE,
            COLUMNS,
            BR,
            BN,
            BD,
        )
    tl.store(codes + book + row * codes_row, code.to(tl.int64), mask=row < rows)
