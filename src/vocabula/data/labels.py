"""Labels of any type: whole numbers as they are, texts as class names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabula.data.column_types import is_number, is_text, plain
from vocabula.data.image_problems import DataWarning

LARGEST = 2**16
"""Whole numbers from here on are identifiers, not indices of classes."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of some items.

    Attributes:
        values: (N,) int64 indices of classes, -1 where an item has none.
        names: what the classes are called, or None.
    """

    values: NDArray[np.int64]
    names: list[str] | None = None


class UnusableLabelsError(Exception):
    """Values are not labels; the text says what they are instead."""


def labels_of(column: Any, names: Sequence[str] | None = None) -> Labels:
    """The labels that an Arrow column holds.

    - Whole numbers, as integers, floats, decimals or booleans, are indices of classes; null, NaN
      and -1 mean no label. If there are values below -1 or from `LARGEST` on, and no `names`, each
      different value becomes a class named after it.
    - Texts become classes by name: the classes in `names`, or else all that occur, sorted. Null and
      empty texts mean no label.

    Args:
        column: an array or chunked array of any type.
        names: what the classes are called, if the file says so.

    Raises:
        UnusableLabelsError: the values are neither whole numbers nor texts.
    """
    known = None if names is None else [str(name) for name in names]
    column = plain(column)
    if is_text(column.type):
        return _by_name(column, known)
    if pa.types.is_null(column.type):
        return Labels(np.full(len(column), -1, np.int64), known)
    return _by_number(_whole(column), known)


def labels_of_array(array: NDArray[Any], names: Sequence[str] | None = None) -> Labels:
    """The labels that a NumPy array holds, one for each item in order; see `labels_of`.

    Raises:
        UnusableLabelsError: the values are neither whole numbers nor texts.
    """
    flat = array.reshape(-1)
    if flat.dtype.kind == "S":
        flat = np.char.decode(flat, "utf-8", "replace")
    native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    try:
        column = pa.array(native if native.dtype.kind in "biuf" else native.tolist())
    except (pa.ArrowException, ValueError, TypeError):
        raise UnusableLabelsError(f"values of type {array.dtype}") from None
    return labels_of(column, names)


def kept_labels(name: str, read: Callable[[], Labels]) -> Labels | None:
    """The result of `read`; if the labels are unusable, None, with one warning that says why.

    Args:
        name: what the warning calls the labels, such as ``cats.parquet: column 'label'``.
        read: gives the labels; may raise `UnusableLabelsError`.
    """
    try:
        return read()
    except UnusableLabelsError as reason:
        warnings.warn(
            f"{name}: labels are left out: expected whole numbers or text, got {reason}",
            DataWarning,
            stacklevel=3,
        )
        return None


def _whole(column: Any) -> pa.Array:
    """A column of int64, or uint64 if needed; null where there is no number."""
    kind = column.type
    if not is_number(kind):
        raise UnusableLabelsError(str(kind))
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_uint64(kind):
        return column
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        wrong = column.filter(pc.not_equal(column, pc.floor(column)))
        got = f"{wrong[0].as_py():g}" if len(wrong) else "numbers without bound"
        raise UnusableLabelsError(got) from None


def _by_number(column: pa.Array, names: list[str] | None) -> Labels:
    bounds = pc.min_max(column)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and names is None and (low < -1 or high >= LARGEST):
        return _by_name(column.cast(pa.string()), None)
    column = column.cast(pa.int64(), safe=False).fill_null(-1)
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    return Labels(np.where(values < 0, -1, values).astype(np.int64), names)


def _by_name(column: Any, names: list[str] | None) -> Labels:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = column.cast(pa.large_string()).dictionary_encode()
    found = encoded.dictionary.to_pylist()
    classes = {text for text in found if text}
    if names is None or not classes <= set(names):
        names = sorted(classes, key=_numbers_first)
    place = {text: i for i, text in enumerate(names)}
    mapped = np.array([place.get(text, -1) for text in found] + [-1], np.int64)
    indices = encoded.indices.cast(pa.int64()).fill_null(len(found))
    return Labels(mapped[np.asarray(indices.to_numpy(zero_copy_only=False))], names)


def _numbers_first(text: str) -> tuple[bool, int, str]:
    """Sorts whole numbers by value first, then other texts by letter."""
    number = text.removeprefix("-")
    is_one = number.isascii() and number.isdecimal() and len(number) < 40
    return (not is_one, int(text) if is_one else 0, text)
