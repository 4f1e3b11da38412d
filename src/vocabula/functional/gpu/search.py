"""The nearest codeword on a GPU: one fused pass over the scores, then float64 where it matters.

    z (N, D) ─ prepare ─┐   ┌───────────────────────┐   least score    ┌───────────────────────┐
                        ├──▶│ scan: |e|²/2 - z·e in │─────────────────▶│ decide: float64 in the│▶ k
    e (K, D) ─ prepare ─┘   │ tiles, in registers   │  of each group   │ groups near enough    │
                            └───────────────────────┘                  └───────────────────────┘

The scores never reach memory: a row keeps only the least score of each group of codewords. The
products are TF32, and the nearest codeword lies in a group whose least score is within twice the
bound of the rounding (`tables.slack`) of the least of all. `decide` measures these groups, most
often one, in float64. So the result does not depend on the precision of the products, and nothing
returns to the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from vocabula.functional.gpu.decide import decide
from vocabula.functional.gpu.scan import scan
from vocabula.functional.gpu.tables import Table, bounds, center, prepare

__all__ = ["nearest", "nearest_books", "nearest_of_books"]

#: Bytes of workspace for a block of rows; with the codebook's table it is all that a search takes.
_WORKSPACE = 64 * 2**20

#: Tiles of a segment, and so codewords of a group, at most: what `decide` measures of a row.
_MOST_TILES = 128

#: Segments at most for the sake of filling the device.
_MOST_SEGMENTS = 64

#: Rows that one program decides.
_DECIDED = 16


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes of a launch.

    Attributes:
        width: components of a table's row.
        rows, codewords, columns: of one tile.
        warps, stages: warps of a program, and depth of the pipelined loads.
    """

    width: int
    rows: int
    codewords: int
    columns: int
    warps: int
    stages: int


def _plan(rows: int, size: int) -> _Plan:
    """Choose the tiles, for an H100 or H200.

    The row tile stays in shared memory while the codewords stream past it, up to the width where
    the two no longer fit.
    """
    block, warps = (64, 4) if rows <= 64 else (128, 8)
    if size > 256:
        return _Plan(triton.cdiv(size, 32) * 32, block, 64, 32, warps, 3)
    width = max(16, triton.next_power_of_2(size))
    return _Plan(width, block, 32 if width > 128 else 64, width, warps, 2)


def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _segments(plan: _Plan, rows: int, books: int, tiles: int, device: torch.device) -> int:
    """Return how many segments the codewords fall into: programs that share a block of rows.

    Two programs a multiprocessor fill it; and a group has `_MOST_TILES` codewords at most.
    """
    blocks = triton.cdiv(rows, plan.rows) * books
    filling = min(2 * _processors(device) // blocks, tiles // 2, _MOST_SEGMENTS)
    return max(1, filling, triton.cdiv(tiles, _MOST_TILES))


def _search_block(
    z: Tensor,
    codebooks: Tensor,
    middle: Tensor,
    table: Table,
    widest: Tensor,
    codes: Tensor,
    plan: _Plan,
    cosine: bool,
    segments: int,
) -> None:
    """Search one block of rows (books, rows, D), into codes (rows, books)."""
    books, rows, size = z.shape
    z_rows = triton.cdiv(rows, plan.rows) * plan.rows
    of_z = prepare(z, middle, padded=z_rows, width=plan.width, cosine=cosine)
    tiles = table.rows // plan.codewords
    segment_tiles = triton.cdiv(tiles, segments)
    segments = triton.cdiv(tiles, segment_tiles)
    groups = segments * plan.codewords
    minima = z.new_empty((books, z_rows, groups))
    scan[(z_rows // plan.rows, segments, books)](
        *(of_z.values, table.values, table.bias, minima),
        *(z_rows, table.rows, tiles, segment_tiles, groups),
        WIDTH=plan.width,
        BM=plan.rows,
        BN=plan.codewords,
        BD=plan.columns,
        num_warps=plan.warps,
        num_stages=plan.stages,
    )
    measured = min(triton.next_power_of_2(segment_tiles), 8)
    columns = min(triton.next_power_of_2(size), (64 if cosine else 128) // measured)
    decide[(z_rows // _DECIDED, books)](
        *(z, codebooks, of_z.measures, table.measures, widest, minima, codes),
        *(rows, codebooks.shape[1], size, z_rows, table.rows, groups, tiles, segment_tiles),
        *(z.stride(1), z.stride(0), codes.stride(0)),
        *bounds(size),
        COSINE=cosine,
        COLUMNS=plan.codewords,
        BR=_DECIDED,
        BG=64,
        BN=measured,
        BD=columns,
        num_warps=4,
    )


def nearest_books(
    z: Tensor, codebooks: Tensor, cosine: bool, *, segments: int | None = None
) -> Tensor:
    """Return the nearest codeword of every book: k*_nb = argmin_k |z_nb - e_bk|².

    Two launches prepare, one scans and one decides, for all books and a block of rows.

    Args:
        z: (N, books, D) float32.
        codebooks: (books, K, D) float32, finite.
        cosine: compare directions instead; see `nearest_codeword`.
        segments: number of programs that share the codewords of a block of rows; None fills the
            device.

    Returns:
        (N, books) int64: those of a float64 brute force, ties to the lowest; 0 for vectors with
        NaN or infinity.

    Source:
        Jégou, Douze & Schmid 2011, "Product Quantization for Nearest Neighbor Search".
    """
    rows, books, size = z.shape
    codes = z.new_empty((rows, books), dtype=torch.int64)
    if rows == 0 or books == 0:
        return codes
    plan = _plan(rows, size)
    z = (z if z.stride(2) == 1 else z.contiguous()).transpose(0, 1)
    codebooks = codebooks.contiguous()
    tiles = triton.cdiv(codebooks.shape[1], plan.codewords)
    segments = segments or _segments(plan, rows, books, tiles, z.device)
    step = _WORKSPACE // (books * (4 * (plan.width + segments * plan.codewords) + 32))
    step = max(plan.rows, step // plan.rows * plan.rows)
    with torch.cuda.device_of(z):
        middle = center(codebooks, cosine)
        table = prepare(
            codebooks,
            middle,
            padded=tiles * plan.codewords,
            width=plan.width,
            cosine=cosine,
            columns=plan.codewords,
        )
        widest = table.widest()
        for start in range(0, rows, step):
            block = slice(start, start + step)
            _search_block(
                z[:, block], codebooks, middle, table, widest, codes[block], plan, cosine, segments
            )
    return codes


def nearest(z: Tensor, codebook: Tensor, cosine: bool, *, segments: int | None = None) -> Tensor:
    """Return the index of the codeword nearest to each vector; see `nearest_books`.

    Args:
        z: (N, D) float32.
        codebook: (K, D) float32, finite.
        cosine: compare directions instead.
        segments: see `nearest_books`.

    Returns:
        (N,) int64.
    """
    found = nearest_books(z.unsqueeze(1), codebook.unsqueeze(0), cosine, segments=segments)
    return found[:, 0]


def nearest_of_books(z: Tensor, codebooks: Tensor) -> Tensor:
    """Return (N, books) codes of z (N, books, D) by Euclidean distance; see `nearest_books`."""
    return nearest_books(z, codebooks, False)
