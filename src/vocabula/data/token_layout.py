"""The layout of a file of codes: a parquet table that says which tokenizer made them.

One row is one signal:

    codes   list<uint8 | uint16 | int32 | int64>   the codes, flattened, last axis fastest
    shape   list<int32>                            their shape, (*grid, *code_shape)
            list<list<int32>>                      of several levels: one shape each
    height, width   int32                          of an image: its size in pixels
    extent  list<int32>                            of other signals: the size along each axis
    path    string                                 where the signal came from
    label   int64 or null
    NAME    int64 or null                          a further attribute, such as the speaker

The codes of several levels follow one another, the coarsest first. The file's metadata hold JSON
under the key ``vocabula`` (see `TokenFile` in token_file.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.errors import TokensError
from vocabula.signals.attributes import is_further
from vocabula.signals.codes import CodeSpec

VERSION = 3
"""The highest version of the layout; a reader refuses a higher one.

Files of images of one level are of version 1, of several levels of version 2; files of other
signals are of version 3.
"""
KEY = b"vocabula"
"""Key of the JSON header in the file's metadata."""
FORMAT = "vocabula tokens"
"""What the header's field ``format`` says."""
IMAGE = "image"
"""The kind of signal of versions 1 and 2."""
LARGEST_SIDE = 2**31
"""Sizes along an axis are below this number."""


def columns_of(version: int) -> tuple[str, ...]:
    """The columns of a version, in order, without further attributes."""
    extent = ("height", "width") if version < 3 else ("extent",)
    return ("codes", "shape", *extent, "path", "label")


def check_attributes(names: Iterable[str], file: object) -> None:
    """Refuse names that a column of a further attribute cannot have.

    Raises:
        TokensError: a name is no identifier, or that of another column or condition.
    """
    others = {*columns_of(1), *columns_of(VERSION)}
    for name in names:
        if name in others or not is_further(name):
            raise TokensError(
                f"{file}: expected attributes named by letters, digits and _, other than those of "
                f"columns and conditions, got {name!r}; rename it"
            )


def attributes_of(header: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The further attributes that a header describes, and what their values are called.

    Raises:
        AttributeError, TypeError, ValueError: it describes them wrongly.
    """
    found = {}
    for name, words in header.get("attributes", {}).items():
        if not (words is None or all(isinstance(word, str) for word in words)):
            raise ValueError("names that are no texts")
        found[name] = tuple(words or ())
    return found


def stored_type(specs: Sequence[CodeSpec]) -> np.dtype[Any]:
    """The smallest type that holds the codes of every level."""
    return max((spec.dtype for spec in specs), key=lambda kind: kind.itemsize)


def schema(
    specs: Sequence[CodeSpec], signal: str = IMAGE, attributes: Iterable[str] = ()
) -> pa.Schema:
    """The columns, with the smallest type that holds the codes of every level."""
    code = pa.from_numpy_dtype(stored_type(specs))
    sides = pa.list_(pa.int32())
    shape = sides if len(specs) == 1 else pa.list_(sides)
    extent = {"height": pa.int32(), "width": pa.int32()} if signal == IMAGE else {"extent": sides}
    return pa.schema(
        {"codes": pa.list_(code), "shape": shape, **extent}
        | {"path": pa.string(), "label": pa.int64()}
        | dict.fromkeys(attributes, pa.int64())
    )


def header_fields(specs: Sequence[CodeSpec], signal: str = IMAGE) -> dict[str, Any]:
    """What the header says about the codes.

    A header of several levels has the fields of one level, too, so that a reader of version 1
    understands it far enough to refuse the version.
    """
    sizes = [size for spec in specs for size in spec.codebook_sizes]
    levels = [
        {"codebook_sizes": list(spec.codebook_sizes), "code_shape": list(spec.code_shape)}
        for spec in specs
    ]
    fields = {"version": 1, **levels[0]}
    if len(specs) > 1:
        fields = {"version": 2, "codebook_sizes": sizes, "code_shape": [len(sizes)]}
        fields["levels"] = levels
    return fields if signal == IMAGE else {**fields, "version": 3, "signal": signal}


def specs_of(header: Mapping[str, Any]) -> tuple[CodeSpec, ...]:
    """The levels that a header describes, the coarsest first.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    levels = header.get("levels") or [header]
    specs = tuple(CodeSpec(item["codebook_sizes"], item["code_shape"]) for item in levels)
    if not all(spec.books for spec in specs):
        raise ValueError("a level without a book")
    return specs


def check_levels(
    levels: Sequence[NDArray[Any]],
    specs: Sequence[CodeSpec],
    axes: int | None,
    named: Callable[[int], str],
) -> None:
    """Check that codes of some signals have the levels of a file and fit their codebooks.

    Args:
        levels: (B, *grid, *code_shape) of each level.
        specs: what the codes of each level are.
        axes: the number of axes of the grids; None takes any.
        named: what the message calls a signal, by its index.

    Raises:
        TokensError: number of levels, shape, type or range is wrong.
    """
    if len(levels) != len(specs):
        raise TokensError(
            f"{named(0)}: expected codes of {len(specs)} levels, got {len(levels)};"
            " use codes of this tokenizer"
        )
    for i, (codes, spec) in enumerate(zip(levels, specs, strict=True), start=1):
        level = "" if len(specs) == 1 else f", level {i}"
        if codes.dtype.kind not in "iu" or not spec.fits(codes.shape[1:], axes):
            grid = ["..."] if axes is None else ["n"] * axes
            wanted = ", ".join([*grid, *map(str, spec.code_shape)])
            raise TokensError(
                f"{named(0)}{level}: expected integer codes of shape ({wanted}),"
                f" got {codes.dtype} of shape {codes.shape[1:]}; use codes of this tokenizer"
            )
        wrong = spec.outside(codes)
        if wrong.any():
            place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            raise TokensError(
                f"{named(int(place[0]))}{level}: expected codes in"
                f" [0, {'x'.join(map(str, spec.codebook_sizes))}), got {int(codes[place])};"
                " use codes of this tokenizer"
            )
