"""Parquet files with the Hugging Face image feature, read by row group."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vocabula.data.pixels import FILE_CHANNELS, channel_error, decode, read_header
from vocabula.data.source import BrokenImageError, ImageSource, Sample
from vocabula.errors import DataError
from vocabula.files import check_plain

LABEL_NAMES = ("label", "labels", "class", "target", "fine_label")
"""Columns of integers with these names are labels where the file's metadata says nothing."""

_MEMORY = 512 * 2**20  # bytes of encoded pictures kept at a time
_LOOKED_AT = 256  # pictures whose headers decide between grey and colour


@dataclass(frozen=True, slots=True)
class _Columns:
    image: str
    is_struct: bool
    label: str | None
    label_names: list[str] | None


class ParquetSource(ImageSource):
    """Pictures in one or several parquet files (shards), decoded when they are read, to uint8.

    The image column is the ``Image`` feature in the file's ``huggingface`` metadata (the column
    named image if there are several), else the first column of structs with a field ``bytes``,
    else the first binary column. The label column is the ``ClassLabel`` feature, else an integer
    column named as in `LABEL_NAMES`. Row groups are read when they are needed and the most recent
    ones are kept, 512 MiB of them; files that fit in there are kept whole and shuffled freely.

    Args:
        files: the shards, in order.
        name: what messages call the data.
        strict: refuse pictures that are broken, instead of skipping them.
        channels: 1, 3 or 4; None takes 1 if the first 256 pictures are grey and 3 otherwise.

    Raises:
        DataError: a file is damaged, without an image column, empty, or unlike the first one.
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
        self._open: dict[int, pq.ParquetFile] = {}
        self._cache: OrderedDict[int, _Rows] = OrderedDict()
        self._process = os.getpid()
        self._lock = threading.Lock()
        sizes, rows, columns = [], [0], None
        for number, file in enumerate(self._files):
            parquet = _open_file(file)
            found = _find_columns(parquet.schema_arrow, file)
            if columns is not None and found != columns:
                raise DataError(
                    f"{file}: expected the columns of {self._files[0].name}, got others;"
                    " give files of one data set"
                )
            columns = found
            for group in range(parquet.metadata.num_row_groups):
                info = parquet.metadata.row_group(group)
                if info.num_rows:
                    self._groups.append((number, group))
                    sizes.append(info.total_byte_size)
                    rows.append(info.num_rows)
        if columns is None or not sizes:
            raise DataError(f"{name}: expected images, got no rows; give a file that holds some")
        self._columns = columns
        self._bounds = np.cumsum(rows, dtype=np.int64)
        super().__init__(name, 3, label_names=columns.label_names, strict=strict)
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
        """Height times width of one picture, from its header; 0 where that is broken."""
        block = self._block(index)
        row = index - int(self._bounds[block])
        try:
            header = read_header(self._encoded(self._rows(block), row, block))
        except BrokenImageError:
            return 0
        return header.height * header.width

    def _read(self, index: int) -> Sample:
        block = self._block(index)
        rows = self._rows(block)
        row = index - int(self._bounds[block])
        encoded = self._encoded(rows, row, block)
        label = None if rows.labels is None else rows.labels[row].as_py()
        path = rows.paths[row].as_py() if rows.paths is not None else None
        return Sample(
            decode(encoded, self.channels),
            None if label is None or label < 0 else label,
            path or self.describe(index),
            index,
        )

    def _encoded(self, rows: _Rows, row: int, block: int) -> bytes | Path:
        """The bytes of a picture, or the file that a row without bytes points to."""
        value = rows.pictures[row].as_py()
        if value is not None:
            return bytes(value)
        path = rows.paths[row].as_py() if rows.paths is not None else None
        if not path:
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
            self._open[number] = _open_file(self._files[number])
        wanted = [c for c in (self._columns.image, self._columns.label) if c is not None]
        try:
            table = self._open[number].read_row_group(group, wanted, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self._files[number], error) from error
        self._cache[block] = _Rows.of(table, self._columns)
        return self._cache[block]

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
        """Without open files and cached rows, for worker processes that are not forked."""
        state = {**self.__dict__, "_open": {}, "_cache": OrderedDict()}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What `__getstate__` gave, with a lock of its own."""
        self.__dict__.update(state, _lock=threading.Lock())


@dataclass(frozen=True, slots=True)
class _Rows:
    """One row group: encoded pictures, their paths and labels, as arrow arrays."""

    pictures: Any
    paths: Any
    labels: Any

    @staticmethod
    def of(table: pa.Table, columns: _Columns) -> _Rows:
        pictures, paths = table[columns.image], None
        if columns.is_struct:
            kind = pictures.type
            if kind.get_field_index("path") >= 0:
                paths = pc.struct_field(pictures, "path")
            pictures = pc.struct_field(pictures, "bytes")
        return _Rows(pictures, paths, None if columns.label is None else table[columns.label])


def _open_file(file: Path) -> pq.ParquetFile:
    check_plain(file, "a parquet file")
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:120]
    return DataError(
        f"{file}: expected a readable parquet file, got '{reason}'; copy or download it again"
    )


def _find_columns(schema: pa.Schema, file: Path) -> _Columns:
    features = _features(schema)
    images = [name for name, kind in features.items() if kind.get("_type") == "Image"]
    images = [name for name in images if name in schema.names] or _by_type(schema)
    if not images:
        raise DataError(
            f"{file}: expected a column of images (a struct of bytes and path),"
            f" got {', '.join(schema.names)}; give a file with the Hugging Face image feature"
        )
    image = "image" if "image" in images else images[0]
    classes = [name for name, kind in features.items() if kind.get("_type") == "ClassLabel"]
    integers = [n for n in LABEL_NAMES if n in schema.names]
    integers = [n for n in integers if pa.types.is_integer(schema.field(n).type)]
    known = [name for name in classes if name in schema.names]
    label = next((n for n in LABEL_NAMES if n in known), known[0] if known else None)
    label = label or (integers[0] if integers else None)
    names = features.get(label, {}).get("names") if label else None
    return _Columns(image, pa.types.is_struct(schema.field(image).type), label, names)


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The features in the file's ``huggingface`` metadata, or nothing."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = stored["info"]["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _by_type(schema: pa.Schema) -> list[str]:
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = (pa.types.is_binary, pa.types.is_large_binary)
    return structs + [f.name for f in schema if any(test(f.type) for test in binary)]
