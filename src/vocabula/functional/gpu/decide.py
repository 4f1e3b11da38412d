"""The final step of a search: rows whose best two scores are too close, in float64."""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from vocabula.functional.gpu.tables import slack

__all__ = ["decide", "nearer"]


@triton.jit
def nearer(distance, codewords, shortest, code, K):
    """Return the shortest distance and its code, after more (codewords,) distances in order."""
    distance = tl.where(codewords < K, distance, float("inf"))
    low = tl.min(distance, 0)
    place = tl.min(tl.where(distance == low, codewords, K), 0)
    # Only strictly nearer codewords replace: among equal ones the first stays.
    code = tl.where(low < shortest, place, code)
    return tl.minimum(shortest, low), code


@triton.jit
def _measure_group(
    z,
    z_length,
    codebook,
    e_length,
    first,
    last,
    shortest,
    code,
    K,
    D,
    COSINE: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Measure one row in float64 against the codewords from `first` to `last`."""
    for start in range(first, last, BN):
        codewords = start + tl.arange(0, BN)
        known = codewords < K
        distance = tl.zeros((BN,), tl.float64)
        if COSINE:
            length = tl.load(e_length + codewords, mask=known, other=1.0)
            distance += tl.where(length > 0, 0.0, 1.0)
            length = tl.where(length > 0, length, 1.0)
        for part in range(0, D, BD):
            column = part + tl.arange(0, BD)
            inside = column < D
            x = tl.load(z + column, mask=inside, other=0.0).to(tl.float64)
            at = codebook + codewords.to(tl.int64)[:, None] * D + column[None, :]
            e = tl.load(at, mask=known[:, None] & inside[None, :], other=0.0).to(tl.float64)
            if COSINE:
                x = x / z_length
                e = e / length[:, None]
            gap = x[None, :] - e
            distance += tl.sum(gap * gap, 1)
        shortest, code = nearer(distance, codewords, shortest, code, K)
    return shortest, code


@triton.jit
def _measure_row(
    z,
    z_length,
    codebook,
    e_length,
    least,
    limit,
    groups,
    group_codewords,
    K,
    D,
    COSINE: tl.constexpr,
    GROUPS: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Return the nearest code of one row from the groups whose least score is near enough."""
    group = tl.arange(0, GROUPS)
    # Negated, so that a NaN of overflow counts as near.
    near = ((group < groups) & ~(least.to(tl.float64) > limit)).to(tl.int32)
    shortest = tl.full((), float("inf"), tl.float64)
    code = tl.full((), 0, tl.int32)
    while tl.max(near, 0) > 0:
        one = tl.min(tl.where(near > 0, group, GROUPS), 0)
        first = one * group_codewords
        last = tl.minimum(first + group_codewords, K)
        shortest, code = _measure_group(
            z,
            z_length,
            codebook,
            e_length,
            first,
            last,
            shortest,
            code,
            K,
            D,
            COSINE,
            BN,
            BD,
        )
        near = tl.where(group == one, 0, near)
    return code


@triton.jit
def _join(best_in, second_in, code_in, at, stride, splits, BR: tl.constexpr):
    """Return the best two scores and the code over the splits of the codewords."""
    best = tl.full((BR,), float("inf"), tl.float32)
    second = tl.full((BR,), float("inf"), tl.float32)
    code = tl.zeros((BR,), tl.int32)
    for _ in range(splits):
        low = tl.load(best_in + at)
        second = tl.minimum(tl.maximum(best, low), tl.minimum(second, tl.load(second_in + at)))
        code = tl.where(low < best, tl.load(code_in + at), code)
        best = tl.minimum(best, low)
        at += stride
    return best, second, code


@triton.jit(do_not_specialize=["rows", "K", "splits", "groups", "group_codewords"])
def decide(
    z,
    codebooks,
    z_measures,
    e_measures,
    widest,
    best_in,
    second_in,
    code_in,
    minima,
    codes,
    rows,
    K,
    D,
    z_rows,
    e_rows,
    splits,
    groups,
    group_codewords,
    z_row,
    z_book,
    codes_row,
    steps,
    double,
    underflow,
    COSINE: tl.constexpr,
    GROUPS: tl.constexpr,
    BR: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    """Join the splits, and measure again the rows that the scores leave in doubt."""
    block, book = tl.program_id(0).to(tl.int64) * BR, tl.program_id(1).to(tl.int64)
    books = tl.num_programs(1).to(tl.int64)
    index = tl.arange(0, BR)
    row = block + index
    at = book * splits * z_rows + row
    best, second, code = _join(best_in, second_in, code_in, at, z_rows, splits, BR)
    measures = z_measures + book * z_rows
    norm = tl.load(measures + row)
    lost = tl.load(measures + books * z_rows + row)
    e_norm = tl.load(widest + book)
    e_lost = tl.load(widest + books + book)
    e_half = tl.load(widest + 2 * books + book)
    error = slack(norm, lost, e_norm, e_lost, e_half, steps, double, underflow)
    highest = best.to(tl.float64) + 2 * error
    lengths = measures + 3 * books * z_rows
    # A row that is not finite has no norm; a zero vector is as near to one direction as to another.
    answered = norm == norm
    if COSINE:
        answered = answered & (tl.load(lengths + row) > 0)
    doubtful = (row < rows) & answered & ~(second.to(tl.float64) > highest)
    code = tl.where(answered, code, 0).to(tl.int64)
    codes += book
    tl.store(codes + row * codes_row, code, mask=(row < rows) & ~doubtful)
    pending = doubtful.to(tl.int32)
    minima += book * groups * z_rows + tl.arange(0, GROUPS) * z_rows
    while tl.max(pending, 0) > 0:
        one = tl.min(tl.where(pending > 0, index, BR), 0)
        found = _measure_row(
            z + book * z_book + (block + one) * z_row,
            tl.load(lengths + block + one),
            codebooks + book * K * D,
            e_measures + (3 * books + book) * e_rows,
            tl.load(minima + block + one, mask=tl.arange(0, GROUPS) < groups, other=0.0),
            tl.sum(tl.where(index == one, highest, 0.0), 0),
            groups,
            group_codewords,
            K,
            D,
            COSINE,
            GROUPS,
            BN,
            BD,
        )
        tl.store(codes + (block + one) * codes_row, found.to(tl.int64))
        pending = tl.where(index == one, 0, pending)
