"""The layout of a file of codes: a parquet table that says which tokenizer made them.

One row is one signal:

    codes   list<uint8 | uint16 | int32 | int64>   the codes, flattened, last axis fastest
    shape   list<int32>                            their shape, (h, w, *code_shape)
    height, width   int32                          size of the image in pixels
    path    string                                 where the signal came from
    label   int64 or null

The file's metadata hold JSON under the key ``vocabula`` (see `TokenFile` in token_file.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.errors import TokensError

VERSION = 1
"""Version of the layout; a reader refuses a higher one."""
KEY = b"vocabula"
"""Key of the JSON header in the file's metadata."""
FORMAT = "vocabula tokens"
"""What the header's field ``format`` says."""
COLUMNS = ("codes", "shape", "height", "width", "path", "label")
"""The columns, in order."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The codes of one signal.

    Attributes:
        codes: integers of shape (h, w, *code_shape).
        path: where the signal came from.
        label: class index, or None.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """

    codes: NDArray[Any]
    path: str
    label: int | None
    height: int
    width: int


def schema(largest: int) -> pa.Schema:
    """The columns, with the smallest type that holds codes below `largest`."""
    kinds = ((2**8, pa.uint8()), (2**16, pa.uint16()), (2**31, pa.int32()))
    code = next((kind for limit, kind in kinds if largest <= limit), pa.int64())
    types = (pa.list_(code), pa.list_(pa.int32()), pa.int32(), pa.int32(), pa.string(), pa.int64())
    return pa.schema(list(zip(COLUMNS, types, strict=True)))


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
