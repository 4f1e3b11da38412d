"""Vectors from files: .npy (memory-mapped), .npz, parquet and csv. Nothing is unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from vocabula.data.audio_formats import OF_AUDIO, named_like_audio
from vocabula.data.column_types import is_list, is_text, plain
from vocabula.data.numpy_files import BadArrayError, NpzFile, bad_file, map_npy
from vocabula.data.picture_formats import named_like_picture
from vocabula.data.places import HUB
from vocabula.data.tables import TableFile, columns_in_words
from vocabula.data.vectors import VectorSource
from vocabula.errors import DataError, VocabulaError
from vocabula.files import check_plain, input_error, one_line

VECTOR_KEYS = ("vectors", "embeddings", "x", "data", "arr_0")
"""Names under which vectors are looked for in an .npz file, in this order."""
LABEL_NAMES = ("label", "labels", "class")
"""Names under which labels are looked for in files of columns and of arrays."""
KEY_NAMES = ("key", "id", "name", "path")
"""Names under which a name for each row is looked for."""

_KINDS = "vectors in a .npy, .npz, .parquet or .csv file"
_DIGITS = "sample:digits"
_OF_IMAGES = "; images are for a tokenizer of images, such as --preset photos trains"


def open_vectors(path: str | os.PathLike[str], *, strict: bool = False) -> VectorSource:
    """Open vectors by path.

    - ``.npy``: one array (N, D), memory-mapped.
    - ``.npz``: the first of `VECTOR_KEYS`, or the only array of two axes.
    - ``sample:digits``, or a split of it such as ``sample:digits/test``: see `open_digit_vectors`.
    - ``.parquet``, ``.csv`` with a header: one column of lists of floats, or else all columns of
      floats side by side. Columns named as `LABEL_NAMES` and `KEY_NAMES` say are labels and keys.

    Args:
        path: the file.
        strict: refuse rows that are not finite, instead of leaving them out with a warning.

    Raises:
        DataError: the file is missing, damaged, empty, or holds no vectors.

    Example:
        >>> import numpy as np
        >>> np.save("states.npy", np.ones((5, 3), np.float32))
        >>> len(open_vectors("states.npy")), open_vectors("states.npy").channels
        (5, 3)
    """
    name, file = os.fspath(path), Path(path).expanduser()
    if name.startswith("sample:"):
        return _open_sample(name, strict)
    if name.startswith(HUB):
        return _open_hub(name, strict)
    check_plain(file, _KINDS)
    if named_like_audio(file) and not file.is_dir():
        raise DataError(f"{name}: expected {_KINDS}, got a recording; {OF_AUDIO}")
    if file.is_dir() or named_like_picture(file):
        got = "a folder" if file.is_dir() else "an image"
        raise DataError(f"{name}: expected {_KINDS}, got {got}{_OF_IMAGES}")
    if not file.is_file():
        raise DataError(f"{name}: expected {_KINDS}, got nothing at that place; check the path")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return VectorSource(map_npy(file), name=name, strict=strict)
    if suffix == ".npz":
        return _open_archive(file, name, strict)
    if suffix == ".parquet":
        found = TableFile(file)
        columns = [field.name for field in found.schema]
        return _of_table(found.read(columns), name, strict)
    if suffix == ".csv":
        return _of_table(_read_csv(file), name, strict)
    raise DataError(f"{name}: expected {_KINDS}, got a file ending in '{suffix}'; convert it")


def _open_sample(name: str, strict: bool) -> VectorSource:
    from vocabula.data.bundled import open_digit_vectors
    from vocabula.data.places import check_place, sample_split

    check_place(name)
    sample, split = sample_split(name)
    if sample.startswith("tones"):
        raise DataError(f"{name}: expected vectors, such as {_DIGITS}, got recordings; {OF_AUDIO}")
    if f"sample:{sample}" != _DIGITS:
        raise DataError(f"{name}: expected vectors, such as {_DIGITS}, got images{_OF_IMAGES}")
    return open_digit_vectors(split, strict=strict)


def _open_hub(name: str, strict: bool) -> VectorSource:
    """Vectors in the parquet files of a data set of the hub, or of a folder in its layout."""
    from vocabula.data.hub_data import hub_files

    files = hub_files(name)
    if isinstance(files, Path) or files[0].suffix.lower() != ".parquet":
        raise DataError(f"{name}: expected vectors in .parquet files, got other files{_OF_IMAGES}")
    tables = [TableFile(file) for file in files]
    names = [field.name for field in tables[0].schema]
    for table in tables:
        if table.names != names:
            raise DataError(
                f"{table.path}: expected the columns of {files[0].name}, {', '.join(names)}, got "
                f"{', '.join(table.names)}; give files of one data set"
            )
    return _of_table(pa.concat_tables([table.read(names) for table in tables]), name, strict)


def _open_archive(path: Path, name: str, strict: bool) -> VectorSource:
    with NpzFile(path) as archive:
        key = archive.choose(VECTOR_KEYS, alone=True)
        try:
            vectors = archive.read(key)
            labels = _first(archive, (*LABEL_NAMES, "y"))  # y is a coordinate in a table
            keys = _first(archive, KEY_NAMES)
        except BadArrayError as got:
            raise bad_file(path, got) from got
    names = None if keys is None else [str(each) for each in keys.reshape(-1)]
    return VectorSource(vectors, labels, keys=names, name=name, strict=strict)


def _first(archive: NpzFile, names: tuple[str, ...]) -> NDArray[Any] | None:
    found = archive.first(names)
    return None if found is None else archive.read(found)


def _read_csv(path: Path) -> pa.Table:
    """The columns of a csv file with a header."""
    try:
        return pyarrow.csv.read_csv(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        failure: VocabulaError | None = input_error(path, error, DataError)
        raise failure or DataError(
            f"{path}: expected columns of numbers with a header, got a damaged or foreign file "
            f"('{one_line(str(error))[:120]}'); save it again"
        ) from error


def _of_table(table: pa.Table, name: str, strict: bool) -> VectorSource:
    """The vectors, labels and keys of a table."""
    columns = {field: plain(table[field]) for field in table.column_names}
    labels = next((columns.pop(each) for each in LABEL_NAMES if each in columns), None)
    keys = next((columns.pop(each) for each in KEY_NAMES if each in columns), None)
    lists = [each for each, column in columns.items() if is_list(column.type)]
    floats = [each for each, column in columns.items() if pa.types.is_floating(column.type)]
    if not table.num_rows:
        raise DataError(f"{name}: expected vectors, got a table without rows; check the data")
    if lists:
        preferred = [each for each in lists if each in VECTOR_KEYS] or lists
        if len(preferred) > 1:
            raise DataError(
                f"{name}: expected one column of lists, got {', '.join(preferred)}; name the one "
                f"of vectors {VECTOR_KEYS[0]}"
            )
        vectors = _of_lists(columns[preferred[0]], f"{name}: column {preferred[0]!r}")
    elif floats:
        parts = [columns[each].to_numpy(zero_copy_only=False) for each in floats]
        vectors = np.stack([np.asarray(part, np.float32) for part in parts], axis=1)
    else:
        raise DataError(
            f"{name}: expected a column of lists of floats, or columns of floats, got "
            f"{columns_in_words(table.schema)}; convert them"
        )
    return VectorSource(
        vectors,
        None if labels is None else np.asarray(labels.to_pylist(), dtype=_label_type(labels)),
        keys=None if keys is None else [str(each) for each in keys.to_pylist()],
        name=name,
        strict=strict,
    )


def _label_type(labels: Any) -> type:
    """Texts as objects, which may be None; numbers as floats, where NaN is none."""
    return object if is_text(labels.type) else float


def _of_lists(column: Any, name: str) -> NDArray[np.float32]:
    """A column of lists of equal length as an array (N, D)."""
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_floating(chunk.type.value_type):
        raise DataError(
            f"{name}: expected lists of floats, got {chunk.type}; convert them to float32"
        )
    if chunk.null_count:
        raise DataError(f"{name}: expected a list in every row, got none in some; drop those rows")
    lengths = pc.list_value_length(chunk).unique().to_pylist()
    if len(lengths) > 1:
        raise DataError(
            f"{name}: expected lists of one length, got {min(lengths)} to {max(lengths)}; "
            "give all vectors the same width"
        )
    flat = chunk.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(len(chunk), -1)
