"""Reading files of codes; every record is checked before it is returned.

The layout is described in token_layout.py; token_writer.py writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vocabula.data.column_types import is_text
from vocabula.data.labels import UnusableLabelsError, labels_of
from vocabula.data.tables import TableFile
from vocabula.data.token_batches import batches_of
from vocabula.data.token_header import header_of
from vocabula.data.token_layout import (
    IMAGE,
    attributes_of,
    columns_of,
    specs_of,
)
from vocabula.data.token_records import TokenBatch, TokenRecord
from vocabula.data.token_tables import token_table
from vocabula.data.token_writer import TokenWriter, write_tokens
from vocabula.errors import TokensError
from vocabula.levels import only
from vocabula.signals.attributes import CLASS
from vocabula.signals.code_names import CodeNames, as_names

__all__ = ["TokenFile", "TokenRecord", "TokenWriter", "read_tokens", "write_tokens"]


class TokenFile:
    """An open file of codes; iterate over it for its records, as often as needed.

    Every record is checked as it is read, so wrong codes are never returned.

    Attributes:
        path: the file.
        fingerprint: the name of the codes, the hash of a tokenizer that made them.
        signal: the name of the kind of signal.
        levels: what the codes of each level are, the coarsest first.
        codebook_sizes: K of each book of all levels.
        source: name of the data that were encoded.
        label_names: class names by label, or None.
        attributes: the further attributes and what their values are called; empty for no names.
        crops: the number of squares cut from each picture; see `crop_name`.
    """

    def __init__(self, table: TableFile, header: dict[str, Any]) -> None:
        self.path = table.path
        self.fingerprint = str(header["fingerprint"])
        self.signal: str = header.get("signal", IMAGE)
        self.levels = specs_of(header)
        self.codebook_sizes = tuple(k for level in self.levels for k in level.codebook_sizes)
        self.source = str(header.get("source", ""))
        self.label_names: Sequence[str] | None = header.get("label_names")
        self.crops = int(header.get("crops", 1))
        self.attributes = attributes_of(header)
        self._table, self._columns = table, (*columns_of(header["version"]), *self.attributes)
        if is_text(table.type_of("label")):
            self.label_names = self._named("label", self.label_names)
        for name, names in self.attributes.items():
            if is_text(table.type_of(name)):
                self.attributes[name] = tuple(self._named(name, names or None) or ())

    @property
    def code_shape(self) -> tuple[int, ...]:
        """() for one book, (books,) for several; only for a single level."""
        return only(self.levels, f"{self.path}: code_shape").code_shape

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the values of each attribute of a record are called; empty if they have no names."""
        return {CLASS: tuple(self.label_names or ()), **self.attributes}

    def __len__(self) -> int:
        """The number of records."""
        return len(self._table)

    def __iter__(self) -> Iterator[TokenRecord]:
        """The records in order; raises `TokensError` at the first batch with a wrong one."""
        for batch in self.batches():
            yield from batch.records()

    def batches(self) -> Iterator[TokenBatch]:
        """The same records as arrays: those that follow one another with equal shapes together.

        A batch never spans two row groups, of which the writer makes one for 4 million codes.

        Raises:
            TokensError: a record of the batch is wrong.
        """
        for group in range(len(self.groups)):
            yield from self.group(group)

    @property
    def groups(self) -> list[int]:
        """The number of records in each row group."""
        return [count for count, _ in self._table.groups]

    def group(self, number: int) -> Iterator[TokenBatch]:
        """The records of one row group; see `batches`."""
        further = {name: own or None for name, own in self.attributes.items()}
        names = {CLASS: self.label_names, **further}
        first, rows = sum(self.groups[:number]), self._table.read(self._columns, number)
        yield from batches_of(rows, self.levels, names, str(self.path), first=first)

    def parts(self) -> Iterator[TokenFile]:
        """The files that hold the records: this one."""
        yield self

    def _named(self, column: str, names: Sequence[str] | None) -> Sequence[str] | None:
        """The names of values that another program wrote as texts."""
        try:
            return labels_of(self._table.read([column])[column], names).names
        except UnusableLabelsError as got:
            raise TokensError(f"{self.path}: expected {column}s, got {got}; encode again") from got


def read_tokens(
    path: str | os.PathLike[str], *, fingerprint: CodeNames | str | None = None
) -> TokenFile:
    """Open a file of codes.

    A table that another program has changed can also be read if its metadata are kept and its
    values are clear: whole numbers as floats, any layout of lists, classes by name.

    Args:
        path: the file; or a folder of parts or a pattern such as ``tokens/part-*.parquet``, whose
            files are read one after the other as one.
        fingerprint: hash of the tokenizer that is to decode them, or the names of its codes; None
            takes any.

    Raises:
        TokensError: the file is missing, damaged, not a file of codes, of a newer version, or holds
            the codes of another tokenizer.
    """
    from vocabula.data.token_parts import TokenParts, token_files

    path = Path(path).expanduser()
    files = token_files(path)
    tokens = open_tokens(path) if files is None else TokenParts(path, files)
    names = None if fingerprint is None else as_names(fingerprint)
    if names is not None and not names.know(tokens.fingerprint):
        raise TokensError(
            f"{path}: expected tokens of tokenizer {names.in_words(12)}, got tokens of tokenizer"
            f" {tokens.fingerprint[:12]}; use the tokenizer that wrote them, or encode again"
        )
    return tokens


def open_tokens(path: Path) -> TokenFile:
    """Open one file of codes.

    Raises:
        TokensError: see `read_tokens`.
    """
    if not path.exists():
        raise TokensError(f"{path}: expected a file of tokens, got nothing there; check the path")
    table = token_table(path)
    return TokenFile(table, header_of(table))
