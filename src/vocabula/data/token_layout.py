"""The layout of a file of codes: a parquet table that says which tokenizer made them.

One row is one signal:

    codes   list<uint8 | uint16 | int32 | int64>   the codes, flattened, last axis fastest
    shape   list<int32>                            their shape, (h, w, *code_shape)
            list<list<int32>>                      of several levels: one shape each
    height, width   int32                          size of the image in pixels
    path    string                                 where the signal came from
    label   int64 or null

The codes of several levels follow one another, the coarsest first. The file's metadata hold JSON
under the key ``vocabula`` (see `TokenFile` in token_file.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.errors import TokensError
from vocabula.levels import array_of, levels_of, only

VERSION = 2
"""Version of the layout; a reader refuses a higher one. Files of one level are of version 1."""
KEY = b"vocabula"
"""Key of the JSON header in the file's metadata."""
FORMAT = "vocabula tokens"
"""What the header's field ``format`` says."""
COLUMNS = ("codes", "shape", "height", "width", "path", "label")
"""The columns, in order."""


@dataclass(frozen=True, slots=True)
class CodeLayout:
    """What the codes of one level are.

    Attributes:
        codebook_sizes: K of each book.
        code_shape: () for one book, (books,) for several.
    """

    codebook_sizes: tuple[int, ...]
    code_shape: tuple[int, ...]

    @classmethod
    def of(cls, codebook_sizes: Sequence[int], code_shape: Sequence[int]) -> CodeLayout:
        """The layout of any sequences of integers.

        Raises:
            TokensError: the number of sizes differs from the number of books, or there is no book.
        """
        layout = cls(tuple(map(int, codebook_sizes)), tuple(map(int, code_shape)))
        sizes, shape = layout.codebook_sizes, layout.code_shape
        known = all(0 < size < 2**63 for size in sizes) and all(side > 0 for side in shape)
        if not sizes or not known or len(sizes) != math.prod(shape):
            raise TokensError(
                f"codes: expected one codebook size for each book of code_shape {shape}, got "
                f"{sizes}; take both from the quantizer"
            )
        return layout


@dataclass(frozen=True, slots=True, init=False)
class TokenRecord:
    """The codes of one signal.

    Args:
        codes: integers of shape (h, w, *code_shape); for several levels one array each, the
            coarsest first.
        path: where the signal came from.
        label: class index, or None.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Attributes:
        levels: the codes of each level, the coarsest first.
    """

    levels: tuple[NDArray[Any], ...]
    path: str
    label: int | None
    height: int
    width: int

    def __init__(
        self,
        codes: NDArray[Any] | Sequence[NDArray[Any]],
        path: str,
        label: int | None,
        height: int,
        width: int,
    ) -> None:
        levels = tuple(array_of(level) for level in levels_of(codes))
        values = (levels, path, label, height, width)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def codes(self) -> NDArray[Any]:
        """The codes (h, w, *code_shape), if there is one level."""
        return only(self.levels, f"{self.path}: codes")


def schema(layouts: Sequence[CodeLayout]) -> pa.Schema:
    """The columns, with the smallest type that holds the codes of every level."""
    largest = max(size for layout in layouts for size in layout.codebook_sizes)
    kinds = ((2**8, pa.uint8()), (2**16, pa.uint16()), (2**31, pa.int32()))
    code = next((kind for limit, kind in kinds if largest <= limit), pa.int64())
    shape = pa.list_(pa.int32()) if len(layouts) == 1 else pa.list_(pa.list_(pa.int32()))
    types = (pa.list_(code), shape, pa.int32(), pa.int32(), pa.string(), pa.int64())
    return pa.schema(list(zip(COLUMNS, types, strict=True)))


def header_fields(layouts: Sequence[CodeLayout]) -> dict[str, Any]:
    """What the header says about the codes.

    Single-level files keep the version 1 header. A header of several levels has its fields, too, so
    that a reader of version 1 understands it far enough to refuse the version.
    """
    sizes = [size for layout in layouts for size in layout.codebook_sizes]
    if len(layouts) == 1:
        return {"version": 1, "codebook_sizes": sizes, "code_shape": list(layouts[0].code_shape)}
    levels = [
        {"codebook_sizes": list(layout.codebook_sizes), "code_shape": list(layout.code_shape)}
        for layout in layouts
    ]
    return {
        "version": VERSION,
        "codebook_sizes": sizes,
        "code_shape": [len(sizes)],
        "levels": levels,
    }


def layouts_of(header: Mapping[str, Any]) -> tuple[CodeLayout, ...]:
    """The levels that a header describes, the coarsest first.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    levels = header.get("levels") or [header]
    return tuple(CodeLayout.of(item["codebook_sizes"], item["code_shape"]) for item in levels)


def check_record(record: TokenRecord, layouts: Sequence[CodeLayout], name: str) -> None:
    """Check that a record has the levels of a file, and that each fits its codebooks.

    Args:
        record: the codes.
        layouts: what the codes of each level are.
        name: what the message calls the codes.

    Raises:
        TokensError: number of levels, shape, type or range is wrong.
    """
    if len(record.levels) != len(layouts):
        raise TokensError(
            f"{name}: expected codes of {len(layouts)} levels, got {len(record.levels)};"
            " use codes of this tokenizer"
        )
    for i, (codes, layout) in enumerate(zip(record.levels, layouts, strict=True), start=1):
        where = name if len(layouts) == 1 else f"{name}, level {i}"
        check_codes(codes, layout.codebook_sizes, layout.code_shape, where)


def check_codes(
    codes: NDArray[Any], sizes: Sequence[int], code_shape: Sequence[int], name: str
) -> None:
    """Check that codes fit the codebooks.

    Args:
        codes: (..., *code_shape) integers.
        sizes: K of each book.
        code_shape: () for one book, (books,) for several.
        name: what the message calls the codes.

    Raises:
        TokensError: shape, type or range is wrong.
    """
    if codes.dtype.kind not in "iu" or codes.shape[codes.ndim - len(code_shape) :] != tuple(
        code_shape
    ):
        raise TokensError(
            f"{name}: expected integer codes of shape (..., {', '.join(map(str, code_shape))}),"
            f" got {codes.dtype} of shape {codes.shape}; use codes of this tokenizer"
        )
    limits = np.asarray(sizes, np.int64).reshape(tuple(code_shape) or ())
    wrong = (codes < 0) | (codes >= limits)
    if wrong.any():
        raise TokensError(
            f"{name}: expected codes in [0, {'x'.join(map(str, sizes))}),"
            f" got {int(codes[wrong][0])}; use codes of this tokenizer"
        )
