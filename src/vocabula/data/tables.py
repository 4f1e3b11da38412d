"""Parquet tables from anywhere: opened and read so that every failure is one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vocabula.data.hub_reading import HubPlace
from vocabula.errors import DataError, VocabulaError
from vocabula.files import check_plain, input_error, one_line


class TableFile:
    """An open parquet file whose failures are one line each.

    Args:
        path: the file; one of the hub may be read in place, see `HubPlace`.
        kind: the error to raise.
        expected: what the file should be, in words.
        fix: what to do about a damaged one.

    Attributes:
        schema: the columns as Arrow sees them.
        names: the names of the columns, in order.
        groups: the number of rows and of bytes of each row group.

    Raises:
        VocabulaError: of the `kind`; the file cannot be read, is damaged or is foreign.
    """

    def __init__(
        self,
        path: Path,
        *,
        kind: type[VocabulaError] = DataError,
        expected: str = "a readable parquet file",
        fix: str = "copy or download it again",
    ) -> None:
        self.path = path
        self._kind, self._expected, self._fix = kind, expected, fix
        check_plain(path, expected, kind)
        with self.reporting():
            place = HubPlace.of(path)
            file = path if place is None else place.open()
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
            self.schema: pa.Schema = self._file.schema_arrow
            found = self._file.metadata
            infos = [found.row_group(i) for i in range(found.num_row_groups)]
            self.groups = [(int(info.num_rows), int(info.total_byte_size)) for info in infos]
        self.names: list[str] = list(self.schema.names)

    def __len__(self) -> int:
        """The number of rows."""
        return sum(count for count, _ in self.groups)

    def type_of(self, name: str) -> pa.DataType:
        """The type of a column, which must exist exactly once.

        Raises:
            VocabulaError: there is no column of that name, or there are several.
        """
        count = self.names.count(name)
        if count != 1:
            raise self._kind(
                f"{self.path}: expected one column {name}, got {count or 'none'}; "
                + ("rename or drop the others" if count else "name it so")
            )
        return self.schema.field(self.names.index(name)).type

    def read(self, columns: Sequence[str], group: int | None = None) -> pa.Table:
        """Some columns, of one row group or of all.

        Raises:
            VocabulaError: the file is damaged.
        """
        with self.reporting():
            if group is None:
                rows = sum(count for count, _ in self.groups)
                table = self._file.read(list(columns), use_threads=False)
            else:
                rows = self.groups[group][0]
                table = self._file.read_row_group(group, list(columns), use_threads=False)
            if any(len(column) != rows for column in table.columns):
                raise ValueError(f"columns of other lengths than the {rows} rows")
        return table

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn every failure into one line: readers raise nearly any exception on damaged files."""
        try:
            yield
        except VocabulaError:
            raise
        except Exception as error:
            failure = input_error(self.path, error, self._kind)
            raise failure or self._damaged(error) from error

    def _damaged(self, error: Exception) -> VocabulaError:
        reason = one_line(str(error))[:120] or type(error).__name__
        return self._kind(
            f"{self.path}: expected {self._expected}, got a damaged or foreign file ('{reason}');"
            f" {self._fix}"
        )


def columns_in_words(schema: Any) -> str:
    """Names and types of the columns of a table, in one line of bounded length."""
    words = [f"{field.name} ({field.type})" for field in schema]
    text = " ".join(", ".join(words).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
