"""Parquet files with the Hugging Face image feature, read by row group."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from vocabula.data.image_problems import BrokenImageError
from vocabula.data.image_shards import ShardedSource, check_channels
from vocabula.data.parquet_columns import Columns, find_columns, put_together
from vocabula.data.pixels import decode
from vocabula.data.row_groups import RowGroups
from vocabula.data.source import Sample
from vocabula.data.tables import TableFile
from vocabula.errors import DataError


class ParquetSource(ShardedSource):
    """Pictures in one or several parquet files (shards), decoded when they are read, to uint8.

    The image column is the ``Image`` feature in the file's ``huggingface`` metadata (the column
    named image if there are several), else the first column of structs with a field ``bytes``,
    else the first binary column. The label column is the ``ClassLabel`` feature, else a column
    named as in `LABEL_NAMES`; `labels_of` says what its values mean. Row groups are read when
    needed and the most recent 512 MiB of them are kept; files that fit into that are kept whole and
    shuffled freely.

    Args:
        files: the shards, in order.
        name: what messages call the data.
        strict: refuse pictures that are broken, instead of skipping them.
        channels: 1, 3 or 4; None takes 1 if the first 256 pictures are grey and 3 otherwise.

    Raises:
        DataError: a file is damaged, empty, without an image column, or unlike the first one.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        name: str = "",
        strict: bool = False,
        channels: int | None = None,
    ) -> None:
        name = name or str(files[0])
        check_channels(name, channels)
        columns: list[Columns] = []
        labels: list[Any] = []
        groups = []
        for file in files:
            table = TableFile(file)  # one at a time: there may be thousands
            columns.append(find_columns(table))
            _check_like_first(columns[-1], columns[0], file, files[0])
            if (label := columns[-1].label) is not None:
                labels.append(table.read([label])[label])
            groups.append(table.groups)
        made = functools.partial(_Rows.of, is_struct=columns[0].is_struct)
        self._groups = RowGroups(files, groups, columns[0].image, made)
        if not len(self._groups):
            raise DataError(f"{name}: expected images, got no rows; give a file that holds some")
        found = put_together(name, labels, columns)
        super().__init__(name, self._groups, found, strict=strict)
        self.window_blocks = self._groups.window_blocks
        self.block_bounds = self._groups.block_bounds
        self.channels = channels or self._natural_channels(len(self._groups.rows(0).pictures))

    def path(self, index: int) -> str:
        """The path that the file says, or else the file's name and the row."""
        block, row = self._groups.locate(index)
        return self._groups.rows(block).path(row) or self.describe(index)

    def _read(self, index: int) -> Sample:
        block, row = self._groups.locate(index)
        rows = self._groups.rows(block)
        return Sample(
            decode(self._stored(rows, row, block), self.channels),
            self._label(index),
            rows.path(row) or self.describe(index),
            index,
        )

    def _encoded(self, index: int) -> bytes | Path:
        block, row = self._groups.locate(index)
        return self._stored(self._groups.rows(block), row, block)

    def _stored(self, rows: _Rows, row: int, block: int) -> bytes | Path:
        """The bytes of a picture, or the file that a row without bytes points to."""
        value = rows.pictures[row].as_py()
        if value is not None:
            return bytes(value)
        path = rows.path(row)
        if not path or "\0" in path:
            raise BrokenImageError("no picture in this row")
        beside = self._groups.file_of(block).parent / path
        if not beside.is_file():
            raise BrokenImageError(f"no bytes in this row and no file {path}")
        return beside


def _check_like_first(columns: Columns, first: Columns, file: Path, first_file: Path) -> None:
    different = [
        f"'{own}' for '{its}'"
        for own, its in ((columns.image, first.image), (columns.label, first.label))
        if own != its
    ]
    if different:
        raise DataError(
            f"{file}: expected the columns of {first_file.name}, got"
            f" {' and '.join(different)}; give files of one data set"
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """One row group: encoded pictures and their paths, as arrow arrays."""

    pictures: Any
    paths: Any

    @staticmethod
    def of(pictures: Any, *, is_struct: bool) -> _Rows:
        paths = None
        if is_struct:
            kind = pictures.type
            if kind.get_field_index("path") >= 0:
                paths = pc.struct_field(pictures, "path")
            pictures = pc.struct_field(pictures, "bytes")
        return _Rows(pictures, paths)

    def path(self, row: int) -> str:
        """Where a picture came from, according to the file; empty if it does not say."""
        found = None if self.paths is None else self.paths[row].as_py()
        return found if isinstance(found, str) else ""
