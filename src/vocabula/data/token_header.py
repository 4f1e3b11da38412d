"""The header of a file of tokens, checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vocabula.data.tables import TableFile
from vocabula.data.token_columns import column_faults, is_nested
from vocabula.data.token_layout import (
    FORMAT,
    KEY,
    VERSION,
    attributes_of,
    columns_of,
    specs_of,
)
from vocabula.errors import TokensError


def header_of(table: TableFile) -> dict[str, Any]:
    """The header of a file of tokens, after a check of the types of its columns."""
    path = table.path
    stored = (table.schema.metadata or {}).get(KEY)
    if stored is None and any(set(columns_of(v)) <= set(table.names) for v in (1, VERSION)):
        raise TokensError(
            f"{path}: expected a file of tokens, got its columns without the vocabula metadata,"
            " which another program has dropped; keep them with pyarrow:"
            " table.replace_schema_metadata(pyarrow.parquet.read_schema(ORIGINAL).metadata)"
        )
    header = _parsed(stored)
    if header is not None and header["version"] > VERSION:
        raise TokensError(
            f"{path}: expected version {VERSION} or lower, got {header['version']}; update vocabula"
        )
    columns = (*columns_of(header["version"] if header else 1), *_further(header))
    missing = [name for name in columns if name not in table.names]
    if header is None or missing:
        lacking = f"without {', '.join(missing)}; columns" if header and missing else "columns"
        raise TokensError(
            f"{path}: expected a file of tokens, got another parquet file"
            f" ({lacking} {', '.join(table.names)[:200]}); make one with vocabula encode"
        )
    kinds = {name: table.type_of(name) for name in columns}
    nested = is_nested(kinds["shape"], 2, empty=True)
    if not _is_complete(header) or nested != (len(specs_of(header)) > 1):
        raise TokensError(
            f"{path}: expected a file of tokens, got another parquet file or damaged metadata;"
            " encode again"
        )
    fault = column_faults(kinds, len(specs_of(header)))
    if fault:
        raise TokensError(f"{path}: {fault}; write the column as vocabula encode does")
    return header


def _further(header: dict[str, Any] | None) -> Sequence[str]:
    """The columns of further attributes; none where the header is not understood."""
    try:
        return tuple(attributes_of(header or {}))
    except (AttributeError, TypeError, ValueError):
        return ()


def _parsed(stored: bytes | None) -> dict[str, Any] | None:
    """The header in the metadata, with its version; None if there is none."""
    try:
        header = json.loads(stored or b"")
        header["version"] = int(header["version"])
        known = header["format"] == FORMAT
    except (KeyError, ValueError, TypeError, RecursionError, OverflowError):
        return None
    return header if known else None


def _is_complete(header: dict[str, Any]) -> bool:
    """Whether a header of a known version says all that reading needs."""
    names = header.get("label_names")
    listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
    try:
        specs_of(header)
        attributes_of(header)
        int(header.get("crops", 1))
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError):
        return False
    texts = all(isinstance(header.get(name, ""), str) for name in ("fingerprint", "signal"))
    return texts and "fingerprint" in header and (names is None or listed)
