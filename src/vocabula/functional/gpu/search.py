"""The nearest codeword on a GPU: one fused pass over the scores, then float64 where it matters.

    z (N, D) ─ prepare ─┐   ┌───────────────────────┐ best, runner-up  ┌──────────────────────┐
                        ├──▶│ scan: |e|²/2 - z·e in │─────────────────▶│ decide: clear of the │▶ k
    e (K, D) ─ prepare ─┘   │ tiles, in registers   │ least of a group │ bound, or again      │
                            └───────────────────────┘─────────────────▶│ in float64           │
                                                                       └──────────────────────┘

The scores never reach memory: only a row's best two, and the least score of each of at most 32
groups of codewords, are kept. A row whose runner-up is inside the bound of the rounding
(`tables.slack`) is measured again in float64, but only in the groups that can hold the nearest. So
the result does not depend on the precision of the products: TF32 is only faster. Nothing returns to
the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from vocabula.functional.gpu.decide import decide
from vocabula.functional.gpu.scan import scan
from vocabula.functional.gpu.tables import Table, bounds, center, prepare

__all__ = ["nearest", "nearest_books", "nearest_of_books"]

#: Bytes of workspace for a block of rows; with the codebook's table it is all that a search takes.
_WORKSPACE = 48 * 2**20

#: Groups of codewords whose least scores a row keeps: 128 bytes a row.
_GROUPS = 32

#: Up to this width, scores use no matrix product, which would pad it to 16.
_NARROW = 8

#: From this width on, tensor cores pay off; below it, they only put more rows in doubt.
_FAST_WIDTH = 17


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes of a launch.

    Attributes:
        width: components of a table's row.
        rows, codewords, columns: of one tile.
        warps, stages: warps of a program, and depth of the pipelined loads.
        fast: TF32 products.
    """

    width: int
    rows: int
    codewords: int
    columns: int
    warps: int
    stages: int
    fast: bool

    @property
    def narrow(self) -> bool:
        """Whether scores are summed without a matrix product."""
        return self.width <= _NARROW

    def layout(self) -> dict[str, Any]:
        """Return the options of the tables."""
        return {"width": self.width, "fast": self.fast, "transposed": self.narrow}


def _plan(rows: int, size: int, fast: bool) -> _Plan:
    """Choose the tiles, for an H100 or H200; the compiler spills no register in any of them.

    With TF32 the row tile stays in shared memory while the codewords stream past it, up to the
    width where the two no longer fit; 64 codewords leave room for two programs a multiprocessor,
    one of which multiplies while the other compares.
    """
    block, warps = (64, 4) if rows <= 64 else (128, 8)
    if size <= _NARROW:
        return _Plan(size, block, 64, size, warps, 2, False)
    if not fast or size < _FAST_WIDTH:
        return _Plan(triton.cdiv(size, 16) * 16, block, 128, 16, warps, 2, False)
    if size > 256:
        return _Plan(triton.cdiv(size, 32) * 32, block, 128, 32, warps, 3, True)
    width = triton.next_power_of_2(size)
    return _Plan(width, block, 32 if width > 128 else 64, width, warps, 2, True)


def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _splits(plan: _Plan, z_rows: int, books: int, tiles: int, device: torch.device) -> int:
    """Return how many programs share the codewords of one block of rows: two a multiprocessor."""
    blocks = z_rows // plan.rows * books
    return max(1, min(2 * _processors(device) // blocks, tiles // 2))


def _search_block(
    z: Tensor,
    codebooks: Tensor,
    middle: Tensor,
    table: Table,
    widest: Tensor,
    codes: Tensor,
    plan: _Plan,
    cosine: bool,
    splits: int | None,
) -> None:
    """Search one block of rows (books, rows, D), into codes (rows, books)."""
    books, rows, size = z.shape
    z_rows = triton.cdiv(rows, plan.rows) * plan.rows
    of_z = prepare(z, middle, padded=z_rows, cosine=cosine, **plan.layout())
    tiles = table.rows // plan.codewords
    group_tiles = triton.cdiv(tiles, _GROUPS)
    groups = triton.cdiv(tiles, group_tiles)
    splits = splits or _splits(plan, z_rows, books, tiles, z.device)
    split_tiles = triton.cdiv(triton.cdiv(tiles, splits), group_tiles) * group_tiles
    splits = triton.cdiv(tiles, split_tiles)
    best, second = z.new_empty((2, books, splits, z_rows))
    code = z.new_empty((books, splits, z_rows), dtype=torch.int32)
    found = [best, second, code, z.new_empty((books, groups, z_rows))]
    scan[(z_rows // plan.rows, splits, books)](
        *(of_z.values, table.values, table.bias, *found),
        *(z_rows, table.rows, tiles, split_tiles, group_tiles, groups),
        WIDTH=plan.width,
        NARROW=plan.narrow,
        PRECISION="tf32" if plan.fast else "ieee",
        BM=plan.rows,
        BN=plan.codewords,
        BD=plan.columns,
        num_warps=plan.warps,
        num_stages=plan.stages,
    )
    columns = min(64, triton.next_power_of_2(size))
    decide[(z_rows // 32, books)](
        *(z, codebooks, of_z.measures, table.measures, widest, *found, codes),
        *(rows, codebooks.shape[1], size, z_rows, table.rows),
        *(splits, groups, group_tiles * plan.codewords, z.stride(1), z.stride(0), codes.stride(0)),
        *bounds(size, plan.fast),
        COSINE=cosine,
        GROUPS=_GROUPS,
        BR=32,
        BN=min(256, 4096 // columns),
        BD=columns,
        num_warps=4,
    )


def nearest_books(
    z: Tensor,
    codebooks: Tensor,
    cosine: bool,
    *,
    fast: bool | None = None,
    splits: int | None = None,
) -> Tensor:
    """Return the nearest codeword of every book: k*_nb = argmin_k |z_nb - e_bk|².

    Two launches prepare, one scans and one decides, for all books and up to about 10^5 rows.

    Args:
        z: (N, books, D) float32.
        codebooks: (books, K, D) float32, finite.
        cosine: compare directions instead; see `nearest_codeword`.
        fast: products in TF32; None allows it where `torch.get_float32_matmul_precision` is not
            "highest". The codes are the same.
        splits: number of programs that share the codewords of a block of rows; None fills the
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
    if fast is None:
        fast = torch.get_float32_matmul_precision() != "highest"
    plan = _plan(rows, size, fast)
    z = (z if z.stride(2) == 1 else z.contiguous()).transpose(0, 1)
    codebooks = codebooks.contiguous()
    step = _WORKSPACE // (books * (4 * (plan.width + _GROUPS) + 48))
    step = max(plan.rows, step // plan.rows * plan.rows)
    with torch.cuda.device_of(z):
        middle = center(codebooks, cosine)
        padded = triton.cdiv(codebooks.shape[1], plan.codewords) * plan.codewords
        table = prepare(codebooks, middle, padded=padded, cosine=cosine, **plan.layout())
        widest = table.widest()
        for start in range(0, rows, step):
            block = slice(start, start + step)
            _search_block(
                z[:, block], codebooks, middle, table, widest, codes[block], plan, cosine, splits
            )
    return codes


def nearest(
    z: Tensor,
    codebook: Tensor,
    cosine: bool,
    *,
    fast: bool | None = None,
    splits: int | None = None,
) -> Tensor:
    """Return the index of the codeword nearest to each vector; see `nearest_books`.

    Args:
        z: (N, D) float32.
        codebook: (K, D) float32, finite.
        cosine: compare directions instead.
        fast: see `nearest_books`.
        splits: see `nearest_books`.

    Returns:
        (N,) int64.
    """
    found = nearest_books(z.unsqueeze(1), codebook.unsqueeze(0), cosine, fast=fast, splits=splits)
    return found[:, 0]


def nearest_of_books(z: Tensor, codebooks: Tensor) -> Tensor:
    """Return (N, books) codes of z (N, books, D) by Euclidean distance; see `nearest_books`."""
    return nearest_books(z, codebooks, False)
