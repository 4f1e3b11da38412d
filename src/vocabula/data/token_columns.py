"""Reads the columns of a table of tokens as arrays and checks each value.

Other programs write the same values in other types: pandas turns whole numbers with gaps into
floats, polars writes large lists, DuckDB its own lists. Clear values are read, others refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabula.data.column_types import is_list, is_number, is_text, plain
from vocabula.data.labels import UnusableLabelsError, labels_of
from vocabula.data.token_layout import LARGEST_SIDE, VERSION, columns_of
from vocabula.errors import TokensError

_COLUMNS = {*columns_of(1), *columns_of(VERSION)}
REDO = "the file is damaged, encode again"


def column_faults(kinds: Mapping[str, pa.DataType], levels: int) -> str:
    """What is wrong with the types of the columns, in words; empty if nothing is.

    Args:
        kinds: the type of each column; those of further attributes too.
        levels: number of levels of codes.
    """
    empty = "extent" in kinds  # without axes, all lists may be empty, and have no type then
    depth, each = (1, "") if levels == 1 else (2, " each")
    lists = "lists of whole numbers"
    wanted = {
        "codes": (lists, is_nested(kinds["codes"], 1)),
        "shape": (
            f"{levels} {lists}{each}" if each else lists,
            is_nested(kinds["shape"], depth, empty=empty),
        ),
        "path": ("text", is_text(kinds["path"]) or pa.types.is_null(kinds["path"])),
        "label": (
            "whole numbers or text",
            is_text(kinds["label"]) or _is_value(kinds["label"]),
        ),
    }
    for name in ("height", "width"):
        if name in kinds:
            wanted[name] = ("whole numbers", is_number(kinds[name]))
    if empty:
        wanted["extent"] = (lists, is_nested(kinds["extent"], 1, empty=True))
    for name in kinds.keys() - _COLUMNS:
        fits = is_text(kinds[name]) or _is_value(kinds[name])
        wanted[name] = ("whole numbers or text", fits)
    for name, (expected, fits) in wanted.items():
        if not fits:
            return f"expected {expected} in {name}, got {kinds[name]}"
    return ""


def is_nested(kind: pa.DataType, depth: int, *, empty: bool = False) -> bool:
    """Whether a type is nested lists, to any depth, of numbers.

    Args:
        kind: the type.
        depth: how deep the lists are nested.
        empty: accept lists without a type, which hold nothing.
    """
    for _ in range(depth):
        if not is_list(kind):
            return False
        kind = kind.value_type
    known = is_number(kind) and not pa.types.is_boolean(kind)
    return known or (empty and pa.types.is_null(kind))


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of whole numbers for each record.

    Attributes:
        values: the numbers of all records, one after the other.
        counts: (N,) how many there are of each record.
        bounds: (N + 1,) where those of each record begin, and the end.
    """

    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.int64], counts: NDArray[np.int64]) -> Lists:
        """The lists of some lengths."""
        return cls(values, counts, np.concatenate([[0], np.cumsum(counts)]))

    def block(self, first: int, last: int) -> NDArray[np.int64]:
        """The lists from `first` to before `last`, which are of one length, as (rows, length)."""
        values = self.values[self.bounds[first] : self.bounds[last]]
        return values.reshape(last - first, self.counts[first])


class Columns:
    """Columns of some rows as arrays; a message names the record whose value is wrong.

    Args:
        rows: the columns of a file of tokens, without faults in their types.
        file: what messages call the file.
        first: number of the first row in the file.

    Attributes:
        paths: (N,) where each record came from; empty where it is not known.
    """

    def __init__(self, rows: pa.Table, file: str, first: int) -> None:
        self._rows, self._file, self._first = rows, file, first
        paths = chunk(plain(rows["path"])).cast(pa.large_string()).fill_null("")
        self.paths: NDArray[np.object_] = paths.to_numpy(zero_copy_only=False)

    def place(self, row: int) -> str:
        """What messages call a record: by the file and its path, or its number."""
        return f"{self._file}: {self.paths[row] or f'record {self._first + row}'}"

    def lists(self, name: str) -> Lists:
        """The lists of whole numbers in a column.

        Raises:
            TokensError: a list is missing, or a value is not a whole number.
        """
        lists = chunk(plain(self._rows[name]))
        if lists.null_count:
            row = pc.index(lists.is_null(), True).as_py()
            raise TokensError(f"{self.place(row)}: expected {name}, got an empty field; {REDO}")
        counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        values = plain(lists.flatten())
        whole = _as_int64(values)
        if whole is None or whole.null_count:
            place = _first_fault(values)
            row = int(np.searchsorted(np.cumsum(counts), place, side="right"))
            raise self._refused(name, row, values[place])
        return Lists.of(np.array(whole.to_numpy(zero_copy_only=False)), counts)

    def extents(self) -> Lists:
        """The size of each signal along each axis.

        Raises:
            TokensError: a size is not a whole number, or is not that of a signal.
        """
        if "extent" in self._rows.column_names:
            lists = self.lists("extent")
            rows = np.repeat(np.arange(len(self.paths)), lists.counts)
            self._check_sides(lists.values, "size", rows)
            return lists
        sides = []
        for name in ("height", "width"):
            sides.append(self._numbers(name))
            self._check_sides(sides[-1], name, np.arange(len(self.paths)))
        return Lists.of(np.stack(sides, 1).reshape(-1), np.full(len(self.paths), 2))

    def attribute(self, name: str, names: Sequence[str] | None) -> NDArray[np.int64]:
        """(N,) values, -1 where there is none; values by name have the indices of `names`.

        Args:
            name: of the column, such as ``label``.
            names: what the values are called, or None.

        Raises:
            TokensError: the column holds neither whole numbers nor texts.
        """
        column = chunk(plain(self._rows[name]))
        try:
            if pa.types.is_integer(column.type):  # as vocabula writes them, negative ones included
                labels = column.cast(pa.int64()).fill_null(-1)
                return np.asarray(labels.to_numpy(zero_copy_only=False))
            return labels_of(column, names).values
        except (UnusableLabelsError, pa.ArrowInvalid) as got:
            raise TokensError(
                f"{self._file}: expected whole numbers or text in {name}, got {got}; correct the"
                " column"
            ) from got

    def _numbers(self, name: str) -> NDArray[np.int64]:
        values = chunk(plain(self._rows[name]))
        whole = _as_int64(values)
        if whole is None or whole.null_count:
            row = _first_fault(values)
            raise self._refused(name, row, values[row])
        return np.asarray(whole.to_numpy(zero_copy_only=False))

    def _check_sides(self, sides: NDArray[np.int64], name: str, rows: NDArray[np.int64]) -> None:
        wrong = (sides < 1) | (sides >= LARGEST_SIDE)
        if wrong.any():
            place = int(np.argmax(wrong))
            raise TokensError(
                f"{self.place(int(rows[place]))}: expected a {name} in [1, 2^31), got"
                f" {int(sides[place])}; {REDO}"
            )

    def _refused(self, name: str, row: int, value: Any) -> TokensError:
        got = value.as_py()
        got = "an empty field" if got is None else str(got)[:40]
        return TokensError(
            f"{self.place(row)}: expected whole numbers in {name}, got {got};"
            " correct the column or encode again"
        )


def chunk(column: Any) -> Any:
    """A column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _as_int64(values: Any) -> Any:
    """Numbers as int64, nulls kept; None if one is not whole or is too large."""
    try:
        return exact(values).cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def exact(values: Any) -> Any:
    """Numbers of a type that casts to int64 and float64."""
    coarse = pa.types.is_decimal(values.type) or pa.types.is_float16(values.type)
    return values.cast(pa.float64()) if coarse else values


def _first_fault(values: Any) -> int:
    """The index of the first value that is null, not whole or too large."""
    numbers = pc.fill_null(exact(values).cast(pa.float64(), safe=False), float("nan"))
    found = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = ~((found == np.floor(found)) & (np.abs(found) < 2.0**63))
    return int(np.argmax(wrong))


def _is_value(kind: pa.DataType) -> bool:
    """Whether a type is numbers, categories of numbers, or only nulls."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return is_number(kind) or pa.types.is_null(kind)
