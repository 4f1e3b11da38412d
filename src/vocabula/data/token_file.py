"""Files of codes: reading them, with every record checked before it gets out.

The layout is described in token_layout.py; token_writer.py writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vocabula.data.token_layout import (
    COLUMNS,
    FORMAT,
    KEY,
    VERSION,
    TokenRecord,
    check_record,
    layouts_of,
)
from vocabula.data.token_writer import TokenWriter, write_tokens
from vocabula.errors import TokensError
from vocabula.files import special_kind
from vocabula.levels import only

__all__ = ["TokenFile", "TokenRecord", "TokenWriter", "read_tokens", "write_tokens"]

_REDO = "the file is damaged, encode again"


class TokenFile:
    """An open file of codes; iterate over it for its records, as often as needed.

    Every record is checked as it is read, so wrong codes never get out.

    Attributes:
        path: the file.
        fingerprint: hash of the tokenizer that made the codes.
        levels: the layout of each level's codes, the coarsest first.
        codebook_sizes: K of each book of all levels.
        source: name of the data that were encoded.
        label_names: class names by label, or None.
    """

    def __init__(self, path: Path, table: pq.ParquetFile, header: dict[str, Any]) -> None:
        self.path = path
        self.fingerprint = str(header["fingerprint"])
        self.levels = layouts_of(header)
        self.codebook_sizes = tuple(k for level in self.levels for k in level.codebook_sizes)
        self.source = str(header.get("source", ""))
        self.label_names: list[str] | None = header.get("label_names")
        self._table = table

    @property
    def code_shape(self) -> tuple[int, ...]:
        """() for one book, (books,) for several, where there is one level."""
        return only(self.levels, f"{self.path}: code_shape").code_shape

    def __len__(self) -> int:
        """The number of records."""
        return int(self._table.metadata.num_rows)

    def __iter__(self) -> Iterator[TokenRecord]:
        """The records in order; raises `TokensError` at the first wrong one."""
        for group in range(self._table.metadata.num_row_groups):
            try:
                rows = self._table.read_row_group(group, columns=list(COLUMNS))
            except (OSError, pa.ArrowException) as error:
                raise _damaged(self.path, error) from error
            columns = [rows[name].combine_chunks() for name in COLUMNS]
            for row in range(len(rows)):
                yield self._record(*(column[row] for column in columns))

    def _record(
        self, codes: Any, shape: Any, height: Any, width: Any, path: Any, label: Any
    ) -> TokenRecord:
        where = path.as_py() or "a record without path"
        if not (codes.is_valid and shape.is_valid and height.is_valid and width.is_valid):
            raise TokensError(f"{self.path}: {where}: expected codes, got an empty field; {_REDO}")
        flat = codes.values.to_numpy(zero_copy_only=False)
        sides = shape.as_py() if len(self.levels) > 1 else [shape.as_py()]
        parts = self._split(flat, sides, where)
        record = TokenRecord(
            parts, path.as_py() or "", label.as_py(), height.as_py(), width.as_py()
        )
        check_record(record, self.levels, f"{self.path}: {where}")
        return record

    def _split(self, flat: NDArray[Any], sides: list[Any], where: str) -> list[NDArray[Any]]:
        """The flat codes as one array a level, of the shapes `sides`."""
        known = len(sides) == len(self.levels) and all(
            shape is not None and all(side is not None and side >= 0 for side in shape)
            for shape in sides
        )
        sizes = [int(np.prod(shape)) for shape in sides] if known else []
        if not known or sum(sizes) != flat.size:
            raise TokensError(
                f"{self.path}: {where}: expected codes of shape"
                f" {' and '.join(str(tuple(shape or ())) for shape in sides)},"
                f" got {flat.size} codes; {_REDO}"
            )
        pieces = np.split(flat.astype(np.int64), np.cumsum(sizes)[:-1])
        return [piece.reshape(shape) for piece, shape in zip(pieces, sides, strict=True)]


def read_tokens(path: str | os.PathLike[str], *, fingerprint: str | None = None) -> TokenFile:
    """Open a file of codes.

    Args:
        path: the file.
        fingerprint: hash of the tokenizer that is to decode them; None takes any.

    Raises:
        TokensError: the file is missing, damaged, no file of codes, of a newer version, or made by
            another tokenizer.
    """
    path = Path(path)
    if not path.is_file():
        kind = special_kind(path)
        got = "nothing there" if kind is None else f"a {kind}"
        raise TokensError(f"{path}: expected a file of tokens, got {got}; check the path")
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    tokens = TokenFile(path, table, _header(path, table.schema_arrow))
    if fingerprint is not None and fingerprint != tokens.fingerprint:
        raise TokensError(
            f"{path}: expected tokens of tokenizer {fingerprint[:12]}, got tokens of tokenizer"
            f" {tokens.fingerprint[:12]}; use the tokenizer that wrote them, or encode again"
        )
    return tokens


def _header(path: Path, schema: pa.Schema) -> dict[str, Any]:
    try:
        header = json.loads((schema.metadata or {})[KEY])
        foreign = header["format"] != FORMAT or set(COLUMNS) - set(schema.names)
        version = int(header["version"])
        if version <= VERSION:
            layouts = layouts_of(header)
            nested = pa.types.is_list(schema.field("shape").type.value_type)
            foreign = foreign or nested != (len(layouts) > 1) or "fingerprint" not in header
    except (KeyError, ValueError, TypeError):
        foreign, version, header = True, VERSION, {}
    if foreign:
        raise TokensError(
            f"{path}: expected a file of tokens, got another parquet file"
            f" (columns {', '.join(schema.names)}); make one with vocabula encode"
        )
    if version > VERSION:
        raise TokensError(
            f"{path}: expected version {VERSION} or lower, got {version}; update vocabula"
        )
    return header


def _damaged(path: Path, error: Exception) -> TokensError:
    reason = " ".join(str(error).split())[:120]
    return TokensError(
        f"{path}: expected a file of tokens, got a damaged or foreign file ('{reason}');"
        " encode again"
    )
