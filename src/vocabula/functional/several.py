"""The several nearest codewords of a small codebook, by the compiled kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.errors import ShapeError
from vocabula.functional import native

_SMALL = 1 << 16
"""Numbers of a codebook up to which float64 alone is faster than scores in float32."""
_FEW = 64
"""Codewords that may be asked for: a longer list is no longer sorted fast by insertion."""


def serves(codebook: Tensor, count: int, cosine: bool) -> bool:
    """Whether the kernel serves this search, of vectors for which `native.searches` holds."""
    return not cosine and codebook.is_cpu and count <= _FEW and 0 < codebook.numel() <= _SMALL


def nearest(z: Tensor, codebook: Tensor, count: int) -> Tensor:
    """Return the (N, count) nearest codes of z (N, D) in codebook (K, D), nearest first.

    Both are float32 on the CPU. Distances are those of float64, ties go to the lowest index.
    Rows that are not finite get 0, 1, ...

    Raises:
        ShapeError: the two do not fit, or there are fewer codewords than are asked for.
    """
    rows, book = native.plain(z), native.plain(codebook)
    size, dim = book.shape
    if rows.shape[1:] != (dim,) or book.dtype != rows.dtype or not 0 < count <= size:
        raise ShapeError(
            f"nearest_several: expected float32 codewords (K, {rows.shape[-1]}), K at least "
            f"{count}, got {book.dtype} of shape {tuple(book.shape)}; convert them"
        )
    codes = rows.new_empty((len(rows), count), dtype=torch.int64)
    if len(rows):
        places = rows.data_ptr(), len(rows), book.data_ptr(), size, dim, count, codes.data_ptr()
        native.call("vocabula_nearest_several", dim, *places)
    return codes
