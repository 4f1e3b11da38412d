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

from vocabula.data.token_layout import COLUMNS, FORMAT, KEY, VERSION, TokenRecord, check_codes
from vocabula.data.token_writer import TokenWriter, write_tokens
from vocabula.errors import TokensError

__all__ = ["TokenFile", "TokenRecord", "TokenWriter", "read_tokens", "write_tokens"]

_REDO = "the file is damaged, encode again"


class TokenFile:
    """An open file of codes; iterate over it for its records, as often as needed.

    Every record is checked as it is read, so wrong codes never get out.

    Attributes:
        path: the file.
        fingerprint: hash of the tokenizer that made the codes.
        codebook_sizes: K of each book.
        code_shape: () for one book, (books,) for several.
        source: name of the data that were encoded.
        label_names: class names by label, or None.
    """

    def __init__(self, path: Path, table: pq.ParquetFile, header: dict[str, Any]) -> None:
        self.path = path
        self.fingerprint = str(header["fingerprint"])
        self.codebook_sizes = tuple(int(size) for size in header["codebook_sizes"])
        self.code_shape = tuple(int(size) for size in header["code_shape"])
        self.source = str(header.get("source", ""))
        self.label_names: list[str] | None = header.get("label_names")
        self._table = table

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
        sides = shape.as_py()
        if any(side is None or side < 0 for side in sides) or int(np.prod(sides)) != flat.size:
            raise TokensError(
                f"{self.path}: {where}: expected codes of shape {tuple(sides)},"
                f" got {flat.size} codes; {_REDO}"
            )
        shaped = flat.astype(np.int64).reshape(sides)
        name = f"{self.path}: {where}"
        check_codes(shaped, self.codebook_sizes, self.code_shape, name)
        return TokenRecord(shaped, path.as_py() or "", label.as_py(), height.as_py(), width.as_py())


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
        raise TokensError(f"{path}: expected a file of tokens, got nothing there; check the path")
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
        sizes, shape = header["codebook_sizes"], header["code_shape"]
        foreign = foreign or len(sizes) != int(np.prod(shape)) or "fingerprint" not in header
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
