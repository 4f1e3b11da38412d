"""Turns the columns of a table of tokens into records and checks each value.

Other programs write the same values in other types: pandas turns whole numbers with gaps into
floats, polars writes large lists, DuckDB its own lists. Clear values are read, others refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabula.data.labels import UnusableLabelsError, is_list, is_number, is_text, labels_of, plain
from vocabula.data.token_layout import CodeLayout, TokenRecord, check_record
from vocabula.errors import TokensError

_REDO = "the file is damaged, encode again"
_LARGEST = 2**31  # pixels per side


def column_faults(kinds: Mapping[str, pa.DataType], levels: int) -> str:
    """What is wrong with the types of the columns, in words; empty if nothing is.

    Args:
        kinds: the type of each column.
        levels: number of levels of codes.
    """
    wanted = {
        "codes": ("lists of whole numbers", is_nested(kinds["codes"], 1)),
        "shape": _shape_fault(kinds["shape"], levels),
        "height": ("whole numbers", is_number(kinds["height"])),
        "width": ("whole numbers", is_number(kinds["width"])),
        "path": ("text", is_text(kinds["path"]) or pa.types.is_null(kinds["path"])),
        "label": (
            "whole numbers or text",
            is_text(kinds["label"]) or _is_value(kinds["label"]),
        ),
    }
    for name, (expected, fits) in wanted.items():
        if not fits:
            return f"expected {expected} in {name}, got {kinds[name]}"
    return ""


def is_nested(kind: pa.DataType, depth: int) -> bool:
    """Whether a type is nested lists, to any depth, of numbers."""
    for _ in range(depth):
        if not is_list(kind):
            return False
        kind = kind.value_type
    return is_number(kind) and not pa.types.is_boolean(kind)


def records_of(
    rows: pa.Table, layouts: Sequence[CodeLayout], names: Sequence[str] | None, file: str
) -> Iterator[TokenRecord]:
    """The records of some rows, checked.

    Args:
        rows: the columns of a file of tokens, without faults.
        layouts: what the codes of each level are.
        names: what the classes are called, if labels are texts.
        file: what messages call the file.

    Raises:
        TokensError: at the first wrong record.
    """
    paths = plain(rows["path"]).to_pylist()
    whole = _Whole(file, [path or "a record without path" for path in paths])
    heights, widths = (_sides(rows[name], name, whole) for name in ("height", "width"))
    codes, bounds = whole.lists(rows["codes"], "codes")
    shapes = plain(rows["shape"]).to_pylist()
    labels = _labels(rows["label"], names, file)
    for i, path in enumerate(paths):
        where = f"{file}: {whole.places[i]}"
        flat = codes[bounds[i] : bounds[i + 1]]
        sides = shapes[i] if len(layouts) > 1 else [shapes[i]]
        parts = _split(flat, sides, len(layouts), where)
        record = TokenRecord(parts, path or "", labels[i], int(heights[i]), int(widths[i]))
        check_record(record, layouts, where)
        yield record


class _Whole:
    """Reads columns as whole numbers, and names a record whose value is not one.

    Args:
        file: what messages call the file.
        places: what messages call the records.
    """

    def __init__(self, file: str, places: list[str]) -> None:
        self._file = file
        self.places = places

    def numbers(self, column: Any, name: str) -> NDArray[np.int64]:
        """One whole number per record."""
        values = _chunk(plain(column))
        whole = _as_int64(values)
        if whole is None or whole.null_count:
            row = _first_fault(values)
            raise self._refused(name, row, values[row])
        return np.asarray(whole.to_numpy(zero_copy_only=False))

    def lists(self, column: Any, name: str) -> tuple[NDArray[np.int64], list[int]]:
        """The whole numbers of all records' lists, the start of each list and the last end."""
        lists = _chunk(plain(column))
        if lists.null_count:
            row = pc.index(lists.is_null(), True).as_py()
            raise TokensError(
                f"{self._file}: {self.places[row]}: expected {name}, got an empty field; {_REDO}"
            )
        counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
        bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        values = plain(lists.flatten())
        whole = _as_int64(values)
        if whole is None or whole.null_count:
            place = _first_fault(values)
            row = int(np.searchsorted(bounds, place, side="right")) - 1
            raise self._refused(name, row, values[place])
        return np.array(whole.to_numpy(zero_copy_only=False)), bounds.tolist()

    def _refused(self, name: str, row: int, value: Any) -> TokensError:
        got = value.as_py()
        got = "an empty field" if got is None else str(got)[:40]
        return TokensError(
            f"{self._file}: {self.places[row]}: expected whole numbers in {name}, got {got};"
            " correct the column or encode again"
        )


def _chunk(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _as_int64(values: Any) -> Any:
    """Numbers as int64, nulls kept; None if one is not whole or is too large."""
    try:
        return _exact(values).cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _exact(values: Any) -> Any:
    coarse = pa.types.is_decimal(values.type) or pa.types.is_float16(values.type)
    return values.cast(pa.float64()) if coarse else values


def _first_fault(values: Any) -> int:
    """The index of the first value that is null, not whole or too large."""
    numbers = pc.fill_null(_exact(values).cast(pa.float64(), safe=False), float("nan"))
    found = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = ~((found == np.floor(found)) & (np.abs(found) < 2.0**63))
    return int(np.argmax(wrong))


def _sides(column: Any, name: str, whole: _Whole) -> NDArray[np.int64]:
    """Heights or widths, at least 1."""
    sides = whole.numbers(column, name)
    wrong = (sides < 1) | (sides >= _LARGEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TokensError(
            f"{whole._file}: {whole.places[row]}: expected a {name} in [1, 2^31), got"
            f" {int(sides[row])}; {_REDO}"
        )
    return sides


def _labels(column: Any, names: Sequence[str] | None, file: str) -> list[int | None]:
    column = plain(column)
    if pa.types.is_integer(column.type):  # as vocabula writes them, negative labels included
        return column.to_pylist()
    try:
        values = labels_of(column, names).values
    except UnusableLabelsError as got:
        raise TokensError(
            f"{file}: expected whole numbers or text in label, got {got}; correct the column"
        ) from got
    return [None if value < 0 else value for value in values.tolist()]


def _split(flat: NDArray[np.int64], sides: Any, levels: int, where: str) -> list[NDArray[Any]]:
    """The flat codes as one array per level, with the shapes `sides`."""
    shapes = [_shape(side) for side in sides or ()]
    known = len(shapes) == levels and None not in shapes
    sizes = [math.prod(shape or ()) for shape in shapes]
    if not known or sum(sizes) != flat.size:
        raise TokensError(
            f"{where}: expected codes of shape"
            f" {' and '.join(str(tuple(side or ())) for side in sides or ((),))[:80]},"
            f" got {flat.size} codes; {_REDO}"
        )
    pieces = np.split(flat, np.cumsum(sizes)[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _shape(sides: Any) -> tuple[int, ...] | None:
    """Sides as whole numbers; None if they are not."""
    if not sides or len(sides) > 32:
        return None
    whole = all(side is not None and 0 <= side < 2**31 and side == int(side) for side in sides)
    return tuple(int(side) for side in sides) if whole else None


def _is_value(kind: pa.DataType) -> bool:
    """Whether a type is numbers, categories of numbers, or only nulls."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return is_number(kind) or pa.types.is_null(kind)


def _shape_fault(kind: pa.DataType, levels: int) -> tuple[str, bool]:
    expected = "lists of whole numbers" if levels == 1 else f"{levels} lists of whole numbers each"
    return expected, is_nested(kind, 1 if levels == 1 else 2)
