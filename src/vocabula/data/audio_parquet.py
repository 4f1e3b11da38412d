"""Recordings in parquet files with the Hugging Face audio feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.data.audio_arrays import ArrayClip
from vocabula.data.audio_clips import BrokenAudioError, Clip, Clips
from vocabula.data.audio_file import opened
from vocabula.data.column_types import is_text
from vocabula.data.labels import Labels, UnusableLabelsError, labels_of
from vocabula.data.parquet_columns import LABEL_NAMES, features_of, plain_type
from vocabula.data.pieces import Piece
from vocabula.data.row_groups import RowGroups
from vocabula.data.tables import TableFile, columns_in_words
from vocabula.errors import DataError
from vocabula.signals.attributes import CLASS, is_further

MOST_VALUES = 1024
"""Values of a column that is an attribute; a column of more tells recordings apart."""
_NO_ATTRIBUTES = {
    *("id", "index", "path", "file", "filename", "name", "key", "text", "sentence"),
    *("sampling_rate", "sample_rate", "channels", "length", "duration", "num_frames", "frames"),
}


class TableClips(Clips):
    """Recordings in rows: structs of bytes and path, or of array and sampling_rate.

    The column is the ``Audio`` feature in the file's ``huggingface`` metadata, else the one named
    audio, else the first of such structs. Attributes are class labels by their features, and
    columns of texts or whole numbers that have no more values than half the rows, and 1024 at most;
    the first column named as in `LABEL_NAMES` is the class.

    Args:
        files: the shards, in order.
        searched: whether they are all that a folder or a pattern tells.

    Raises:
        DataError: a file is damaged, empty, without a column of recordings, or unlike the first.
    """

    def __init__(self, files: Sequence[Path], *, searched: bool = False) -> None:
        self._searched = searched
        groups, parts = list[list[tuple[int, int]]](), list[dict[str, Any]]()
        column, wanted = "", dict[str, str]()
        for file in files:
            table = TableFile(file)  # one at a time: there may be thousands
            if not groups:
                column = audio_column(table)
                wanted, stated = _wanted(table, column)
            missing = [name for name in (column, *wanted) if name not in table.names]
            if missing:
                raise DataError(
                    f"{file}: expected the columns of {files[0].name}, got none named "
                    f"{', '.join(missing)}; give files of one data set"
                )
            groups.append(table.groups)
            read = table.read([*wanted])
            parts.append({name: read[name] for name in wanted})
        self._rows = RowGroups(files, groups, column, _itself)
        if not len(self._rows):
            raise DataError(f"{files[0]}: expected recordings, got no rows; give a file of some")
        self._labels = _attributes(wanted, stated, parts)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def path(self, index: int) -> str:
        """The path in the row, or else the file's name and the row in it."""
        group, row = self._rows.locate(index)
        return _text(self._rows.rows(group)[row]) or self._rows.describe(index)

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        group, row = self._rows.locate(index)
        found = self._rows.rows(group)[row]
        if _holds(found, "bytes"):
            return opened(bytes(found["bytes"].as_py()))
        if _holds(found, "array"):
            return nullcontext(_array_clip(found))
        path = _text(found)
        if not path or "\0" in path:
            raise BrokenAudioError("no recording in this row")
        beside = self._rows.file_of(group).parent / path
        if not beside.is_file():
            raise BrokenAudioError(f"no bytes in this row and no file {path}")
        return opened(beside)

    def content(self) -> str:
        """See `RowGroups.content`."""
        return self._rows.content()

    def pieces(self) -> Iterator[Piece]:
        """Each row group is a piece."""
        return self._rows.pieces()

    def folders(self) -> set[Path]:
        """See `Source.folders`."""
        return self._rows.folders() if self._searched else set()

    def labels(self) -> dict[str, Labels]:
        """The attributes that columns tell."""
        return self._labels

    @property
    def block_bounds(self) -> NDArray[np.int64] | None:
        """Row groups, if they do not fit into memory together."""
        return self._rows.block_bounds


def audio_column(table: TableFile) -> str:
    """The column of recordings; see `TableClips`.

    Raises:
        DataError: there is none.
    """
    features = features_of(table.schema)
    fields = {field.name: field.type for field in table.schema}
    stated = [n for n, kind in features.items() if kind.get("_type") == "Audio" and n in fields]
    pictures = [n for n, kind in features.items() if kind.get("_type") == "Image"]
    typed = [n for n, kind in fields.items() if _is_audio(kind) and n not in pictures]
    found = stated or [name for name in typed if name == "audio"] or typed
    if found:
        return found[0]
    got = columns_in_words(table.schema)
    raise DataError(
        f"{table.path}: expected a column of recordings (a struct of bytes and path), got {got}; "
        + (
            "pictures are for a tokenizer of images, such as --preset photos trains"
            if pictures
            else "give a file with the Hugging Face audio feature"
        )
    )


def _is_audio(kind: Any) -> bool:
    if not pa.types.is_struct(kind):
        return False
    names = {kind.field(place).name for place in range(kind.num_fields)}
    return "bytes" in names or {"array", "sampling_rate"} <= names


def _holds(struct: Any, name: str) -> bool:
    """Whether a row has a value in a field."""
    return struct.is_valid and name in struct and struct[name].is_valid


def _text(struct: Any) -> str:
    """The path in a row; empty if there is none."""
    path = struct["path"].as_py() if _holds(struct, "path") else None
    return path if isinstance(path, str) else ""


def _array_clip(struct: Any) -> ArrayClip:
    """A recording that is stored as numbers: a list, or a list of every channel."""
    rate = struct["sampling_rate"].as_py() if _holds(struct, "sampling_rate") else None
    samples = np.asarray(struct["array"].as_py(), np.float32)
    if not isinstance(rate, int) or rate < 1 or samples.ndim not in (1, 2):
        raise BrokenAudioError(f"samples of shape {samples.shape} at {rate} Hz")
    return ArrayClip(samples.reshape(-1, samples.shape[-1]), rate)


def _itself(column: Any) -> Any:
    return column


def can_describe(name: str) -> bool:
    """Whether a column or field of this name can be an attribute beside the class."""
    return is_further(name) and name.lower() not in _NO_ATTRIBUTES


def _wanted(table: TableFile, audio: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The columns that may be attributes, with their names as such; and stated names of values."""
    features, found, stated = features_of(table.schema), {}, {}
    fields = {field.name: plain_type(field.type) for field in table.schema if field.name != audio}
    label = next((name for name in LABEL_NAMES if name in fields), None)
    for name, kind in fields.items():
        attribute = CLASS if name == label else name
        known = features.get(name, {}).get("names")
        whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
        usual = can_describe(attribute)
        if isinstance(known, list):
            stated[name] = [str(each) for each in known]
        if attribute == CLASS or (usual and (whole or is_text(kind) or name in stated)):
            found[name] = attribute
    return found, stated


def _attributes(
    wanted: Mapping[str, str], stated: Mapping[str, list[str]], parts: Sequence[Mapping[str, Any]]
) -> dict[str, Labels]:
    """The attributes that columns of all files tell; those of too many values are left out."""
    found: dict[str, Labels] = {}
    for name, attribute in wanted.items():
        column = pa.chunked_array([chunk for part in parts for chunk in part[name].chunks])
        try:
            labels = labels_of(column, stated.get(name))
        except UnusableLabelsError:
            continue
        count = len(labels.names or ()) or 1 + int(labels.values.max(initial=-1))
        if name in stated or attribute == CLASS or count <= min(MOST_VALUES, len(column) // 2):
            found[attribute] = labels
    return found
