"""Vectors prepared for a search: centred, rounded, padded, with bounds on the rounding errors.

A search compares scores |e|²/2 - z·e about a center that z and e share exactly. `prepare` writes
the differences from it once, rounded to the 11 significant bits of TF32, so that the tensor cores,
which drop the lower bits of an operand, drop only zeros. The norm of each row's rounding error is
measured rather than bounded by its worst case: less than half as many rows are then in doubt.
"""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["Bounds", "Table", "bounds", "center", "prepare", "rounded", "slack"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows ready for a search.

    Attributes:
        values: (books, rows, width) float32 of TF32's precision; both sizes are padded with zeros.
        measures: (4, books, rows) float64: the norm about the center; the norm of the rounding's
            error; half the squared norm, plus a zero codeword's extra term; and the length before
            normalisation for the cosine, otherwise 1. A row that is not finite has norm NaN.
        bias: (books, rows) float32, half the squared norm, infinite in the padding.
    """

    values: Tensor
    measures: Tensor
    bias: Tensor

    @property
    def rows(self) -> int:
        """Rows of a book, padding included."""
        return self.measures.shape[2]

    def widest(self) -> Tensor:
        """Return (3, books), the largest norm, error and half square of each book's rows."""
        return self.measures[:3].amax(-1)


class Bounds(NamedTuple):
    """Rounding errors that do not depend on the data; see `slack`.

    Attributes:
        steps: of the float32 product and the subtraction, relative to |z| |e|.
        double: of the float64 distances that decide, relative to (|z| + |e|)².
        underflow: absolute, of numbers flushed to zero.
    """

    steps: float
    double: float
    underflow: float


def bounds(size: int) -> Bounds:
    """Return the bounds for vectors of `size` components.

    A float32 sum of n products errs by at most n u / (1 - n u) of the sum of the magnitudes, in any
    order; a dozen more for the operations around it. Tensor cores truncate the aligned terms of a
    step where a sum would round: four times that covers one ulp lost by each of the terms and the
    accumulator.

    Source:
        Higham 2002, "Accuracy and stability of numerical algorithms", section 3.1; Fasi et al.
        2021, "Numerical behavior of NVIDIA tensor cores", section 4.
    """
    steps = 1.01 * (size + 12) * 2.0**-24
    tiny = torch.finfo(torch.float32).tiny
    return Bounds(4 * steps, (size + 4) * 2.0**-53, 4 * size * tiny)


def center(codebooks: Tensor, cosine: bool) -> Tensor:
    """Return (books, D), a point amid the codewords (books, K, D), or amid their directions.

    Any point would do if it is the same for both sides.
    """
    if not cosine:
        return codebooks.mean(1)
    # Directions weighted by length: one pass less than their mean, and equally central.
    lengths = torch.linalg.vector_norm(codebooks, dim=-1)
    return codebooks.sum(1) / lengths.sum(1, keepdim=True)


@triton.jit
def rounded(x):
    """Round float64 to float32 and on to TF32: half up in magnitude, at bit 13."""
    bits = x.to(tl.float32).to(tl.int32, bitcast=True)
    return ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)


@triton.jit
def origin(pointer):
    """Load a part of the center; overflowed values are replaced by zero."""
    c = tl.load(pointer)
    return tl.where(tl.abs(c) < float("inf"), c, 0.0).to(tl.float64)


@triton.jit
def slack(z_norm, z_error, e_norm, e_error, e_half, steps, double, underflow):
    """Bound the error of any score of a row, in float64; infinite where float32 may overflow.

    With z = z' + dz and e = e' + de, z' and e' the rounded operands of the product,
    |z·e - z'·e'| <= |dz| |e| + |z'| |de|. To this it adds the rounding of the product, of the bias,
    of their difference, and of the float64 distances that decide.
    """
    reach = z_norm + z_error
    width = e_norm + e_error
    error = z_error * e_norm + reach * e_error + steps * reach * width
    error += 4 * 2.0**-24 * e_half
    error += double * (z_norm + e_norm) * (z_norm + e_norm)
    error += underflow * (1.0 + reach + width)
    # A NaN compares false, and so also counts as an overflow.
    return tl.where(reach * width + e_half < 1e37, 1.001 * error, float("inf"))


@triton.jit
def _lengths(source, inside, D, WIDTH: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr):
    """Return the Euclidean lengths of a block of rows, (BR,), in float64."""
    square = tl.zeros((BR,), tl.float64)
    for start in range(0, WIDTH, BD):
        column = start + tl.arange(0, BD)
        known = inside[:, None] & (column < D)[None, :]
        x = tl.load(source + column[None, :], mask=known, other=0.0).to(tl.float64)
        square += tl.sum(x * x, 1)
    return tl.sqrt(square)


@triton.jit(do_not_specialize=["rows", "padded", "columns"])
def _prepare(
    source,
    center,
    values,
    measures,
    bias,
    rows,
    padded,
    D,
    source_row,
    source_book,
    columns,
    COSINE: tl.constexpr,
    WIDTH: tl.constexpr,
    BR: tl.constexpr,
    BD: tl.constexpr,
):
    book = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    inside = row < rows
    tiles = padded // columns
    table_row = row % tiles * columns + row // tiles  # see `prepare`
    source += book * source_book + row[:, None] * source_row
    center += book * D
    values += (book * padded + table_row)[:, None] * WIDTH
    length = tl.full((BR,), 1.0, tl.float64)
    if COSINE:
        length = _lengths(source, inside, D, WIDTH, BR, BD)
    divisor = tl.where(length > 0, length, 1.0)
    square = tl.zeros((BR,), tl.float64)
    lost = tl.zeros((BR,), tl.float64)
    broken = tl.zeros((BR,), tl.int32)
    for start in range(0, WIDTH, BD):
        column = start + tl.arange(0, BD)
        known = inside[:, None] & (column < D)[None, :]
        x = tl.load(source + column[None, :], mask=known, other=0.0).to(tl.float64)
        if COSINE:
            x = x / divisor[:, None]
        c = origin(center + tl.where(column < D, column, 0))
        x = tl.where(known, x - c[None, :], 0.0)
        value = rounded(x)
        finite = tl.abs(x.to(tl.float32)) < float("inf")
        broken = tl.maximum(broken, tl.max(tl.where(finite, 0, 1), 1))
        square += tl.sum(x * x, 1)
        error = x - value.to(tl.float64)
        lost += tl.sum(error * error, 1)
        here = (row < padded)[:, None] & (column < WIDTH)[None, :]
        tl.store(values + column[None, :], value, mask=here)
    half = square / 2
    if COSINE:
        # A zero codeword has cosine 0 with everything, like a unit vector of its own dimension.
        half += tl.where(inside & (length == 0), 0.5, 0.0)
    here = row < padded
    place = book * padded + row
    layer = tl.num_programs(1).to(tl.int64) * padded
    norm = tl.where(broken > 0, float("nan"), tl.sqrt(square))
    tl.store(measures + place, norm, mask=here)
    tl.store(measures + layer + place, tl.sqrt(lost), mask=here)
    tl.store(measures + 2 * layer + place, half, mask=here)
    tl.store(measures + 3 * layer + place, length, mask=here)
    half = tl.where(inside, half, float("inf")).to(tl.float32)
    tl.store(bias + book * padded + table_row, half, mask=here)


def prepare(
    source: Tensor,
    center: Tensor,
    *,
    padded: int,
    width: int,
    cosine: bool = False,
    columns: int = 1,
) -> Table:
    """Write the table of (books, rows, D) vectors about the center (books, D), in one launch.

    With T = padded / columns, row t * columns + c of `values` and `bias` is source row c * T + t:
    a column of the tiles of a scan then holds neighbours. The measures keep the source's order.

    Args:
        source: (books, rows, D) float32 of any strides whose last is 1.
        center: (books, D) float32.
        padded: rows of the table, at least those of `source`.
        width: components of the table, at least D.
        cosine: whether to normalise the rows first, in float64.
        columns: codewords of a tile; a divisor of `padded`.

    Returns:
        The table.
    """
    books, rows, size = source.shape
    table = Table(
        values=source.new_empty((books, padded, width)),
        measures=source.new_empty((4, books, padded), dtype=torch.float64),
        bias=source.new_empty((books, padded)),
    )
    parts = min(64, triton.next_power_of_2(width))
    block = 2048 // parts
    _prepare[(triton.cdiv(padded, block), books)](
        *(source, center, table.values, table.measures, table.bias),
        *(rows, padded, size, source.stride(1), source.stride(0), columns),
        COSINE=cosine,
        WIDTH=width,
        BR=block,
        BD=parts,
        num_warps=4,
    )
    return table
