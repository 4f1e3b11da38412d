"""The types of a table's columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def plain(column: Any) -> Any:
    """A column without dictionary encoding (pandas' categories) and extension types."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds strings, in any layout: parquet writers differ in layout."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    layouts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_it(kind) for is_it in layouts)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type holds lists, in any layout."""
    layouts = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(is_it(kind) for is_it in layouts)


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds numbers that may be whole."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(is_it(kind) for is_it in tests)
