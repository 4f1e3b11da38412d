"""Parquet files with the Hugging Face image feature, read by row group."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabula.data.content import content_of_files
from vocabula.data.image_problems import BrokenImageError
from vocabula.data.parquet_columns import Columns, find_columns, put_together
from vocabula.data.pixels import FILE_CHANNELS, channel_error, decode, read_header
from vocabula.data.source import ImageSource, Sample
from vocabula.data.tables import TableFile
from vocabula.errors import DataError
from vocabula.files import input_errors

_MEMORY = 512 * 2**20  # bytes of encoded pictures kept in memory
_OPEN = 16  # files kept open at a time
_LOOKED_AT = 256  # pictures whose headers decide between grey and colour


class ParquetSource(ImageSource):
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
        if channels is not None and channels not in FILE_CHANNELS:
            raise channel_error(name, channels, 3)
        self._files = list(files)
        self._groups: list[tuple[int, int]] = []
        self._open: dict[int, TableFile] = {}
        self._cache: OrderedDict[int, _Rows] = OrderedDict()
        self._process = os.getpid()
        self._lock = threading.Lock()
        columns: list[Columns] = []
        labels: list[Any] = []
        sizes, rows = [], [0]
        for number, file in enumerate(self._files):
            table = TableFile(file)  # one at a time: there may be thousands
            columns.append(find_columns(table))
            self._check_like_first(columns[-1], columns[0], number)
            if (label := columns[-1].label) is not None:
                labels.append(table.read([label])[label])
            for group, (count, size) in enumerate(table.groups):
                if count:
                    self._groups.append((number, group))
                    sizes.append(size)
                    rows.append(count)
        if not sizes:
            raise DataError(f"{name}: expected images, got no rows; give a file that holds some")
        self._columns = columns[0]
        self._bounds = np.cumsum(rows, dtype=np.int64)
        found = put_together(name, labels, columns)
        self._labels: NDArray[np.int64] | None = None if found is None else found.values
        super().__init__(name, 3, label_names=found.names if found else None, strict=strict)
        self.window_blocks = int(np.clip(_MEMORY // max(sizes), 2, len(sizes) + 1))
        self.block_bounds = self._bounds if sum(sizes) > _MEMORY else None
        self.channels = channels or self._natural_channels()

    def __len__(self) -> int:
        """The number of rows in all files."""
        return int(self._bounds[-1])

    def describe(self, index: int) -> str:
        """The file's name and the row in it."""
        block = self._block(index)
        number = self._groups[block][0]
        first = next(b for b, group in enumerate(self._groups) if group[0] == number)
        return f"{self._files[number].name}[{index - int(self._bounds[first])}]"

    def pixels(self, index: int) -> int:
        """Height times width of one picture, from its header; 0 if the header is broken."""
        block = self._block(index)
        row = index - int(self._bounds[block])
        try:
            header = read_header(self._encoded(self._rows(block), row, block))
        except BrokenImageError:
            return 0
        return header.height * header.width

    def content(self) -> str:
        """Hash of the files' sizes and of a sample of their bytes; see `content_of_files`."""
        with input_errors(self._files[0]):
            return content_of_files(self._files)

    def _read(self, index: int) -> Sample:
        block = self._block(index)
        rows = self._rows(block)
        row = index - int(self._bounds[block])
        encoded = self._encoded(rows, row, block)
        label = -1 if self._labels is None else int(self._labels[index])
        return Sample(
            decode(encoded, self.channels),
            None if label < 0 else label,
            rows.path(row) or self.describe(index),
            index,
        )

    def _encoded(self, rows: _Rows, row: int, block: int) -> bytes | Path:
        """The bytes of a picture, or the file that a row without bytes points to."""
        value = rows.pictures[row].as_py()
        if value is not None:
            return bytes(value)
        path = rows.path(row)
        if not path or "\0" in path:
            raise BrokenImageError("no picture in this row")
        beside = self._files[self._groups[block][0]].parent / path
        if not beside.is_file():
            raise BrokenImageError(f"no bytes in this row and no file {path}")
        return beside

    def _block(self, index: int) -> int:
        return int(np.searchsorted(self._bounds, index, side="right")) - 1

    def _rows(self, block: int) -> _Rows:
        with self._lock:
            return self._cached_rows(block)

    def _cached_rows(self, block: int) -> _Rows:
        if self._process != os.getpid():  # after a fork, file handles are not shared
            self._process, self._open = os.getpid(), {}
        if block in self._cache:
            self._cache.move_to_end(block)
            return self._cache[block]
        while len(self._cache) >= self.window_blocks:
            self._cache.popitem(last=False)
        number, group = self._groups[block]
        if number not in self._open:
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[number] = TableFile(self._files[number])
        table = self._open[number].read([self._columns.image], group)
        self._cache[block] = _Rows.of(table, self._columns)
        return self._cache[block]

    def _check_like_first(self, columns: Columns, first: Columns, number: int) -> None:
        different = [
            f"'{own}' for '{its}'"
            for own, its in ((columns.image, first.image), (columns.label, first.label))
            if own != its
        ]
        if different:
            raise DataError(
                f"{self._files[number]}: expected the columns of {self._files[0].name}, got"
                f" {' and '.join(different)}; give files of one data set"
            )

    def _natural_channels(self) -> int:
        rows = self._rows(0)
        for row in range(min(_LOOKED_AT, len(rows.pictures))):
            try:
                if read_header(self._encoded(rows, row, 0)).channels == 3:
                    return 3
            except BrokenImageError:
                continue
        return 1

    def __getstate__(self) -> dict[str, Any]:
        """The state without open files and cached rows, for workers that are not forked."""
        state = {**self.__dict__, "_open": {}, "_cache": OrderedDict()}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state from `__getstate__`, with a new lock."""
        self.__dict__.update(state, _lock=threading.Lock())


@dataclass(frozen=True, slots=True)
class _Rows:
    """One row group: encoded pictures and their paths, as arrow arrays."""

    pictures: Any
    paths: Any

    @staticmethod
    def of(table: Any, columns: Columns) -> _Rows:
        pictures, paths = table[columns.image], None
        if columns.is_struct:
            kind = pictures.type
            if kind.get_field_index("path") >= 0:
                paths = pc.struct_field(pictures, "path")
            pictures = pc.struct_field(pictures, "bytes")
        return _Rows(pictures, paths)

    def path(self, row: int) -> str:
        """Where a picture came from, according to the file; empty if it does not say."""
        found = None if self.paths is None else self.paths[row].as_py()
        return found if isinstance(found, str) else ""
