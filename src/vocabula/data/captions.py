"""Captions of signals: from parquet files, tars, or text files beside the signals."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vocabula.data.column_types import is_list, is_text, plain
from vocabula.data.hub_data import hub_files
from vocabula.data.image_problems import DataWarning
from vocabula.data.places import HUB, matches
from vocabula.data.tables import TableFile
from vocabula.data.tar_captions import tar_captions
from vocabula.data.tar_samples import key_and_ending
from vocabula.errors import DataError
from vocabula.files import input_errors

TEXT_COLUMNS = ("caption", "captions", "text", "texts")
"""Columns that hold the captions where none is named."""
PATH_COLUMNS = ("path", "file_name", "filename", "image")
"""Columns of strings, or of structs with a string ``path`` as those of Hugging Face images, that
say which signal a caption belongs to; without one, the order does."""

Captions = list[tuple[str, ...]]
"""The captions of each signal, none or several."""


def read_captions(
    source: str | os.PathLike[str], paths: Sequence[str], *, column: str | None = None
) -> Captions:
    """The captions of signals.

    Args:
        source: a ``.parquet`` file with a column of texts, or of lists of texts, and a column of
            paths or as many rows as there are signals; a ``.tar`` with a member ``txt``, or a
            member ``json`` that has a text, for the key of each signal's path; a folder of tars or
            a pattern; or a folder with a ``.txt`` file for each signal, at the signal's path, a
            caption a line.
        paths: where each signal came from, according to the file of tokens.
        column: the column or field of texts; None takes the first of `TEXT_COLUMNS`.

    Returns:
        The captions of each signal; empty where it has none.

    Raises:
        DataError: the source is missing or damaged, or no signal has a caption in it.
    """
    place = Path(source)
    if place.is_dir():
        found = [_lines(place, path) for path in paths]
        if not any(found) and (tars := sorted(place.glob("*.tar"))):
            found = _from_tars(tars, paths, column)
        advice = "a .txt file at the path of each image, such as seven/3.txt for seven/3.png"
    elif files := _files(source):
        if files[0].suffix.lower() == ".tar":
            found = _from_tars(files, paths, column)
        else:
            found = _joined([_from_parquet(file, paths, column) for file in files])
        advice = "rows whose path, or members whose name, is that of the signal in the tokens"
    else:
        raise DataError(
            f"{place}: expected a .parquet or .tar file of captions or a folder of .txt files, got "
            "nothing there; check the path"
        )
    if not any(found):
        example = f", the first of which is {paths[0]}" if len(paths) else ""
        raise DataError(
            f"{place}: expected captions of the {len(paths)} signals{example}, got none; "
            f"it needs {advice}"
        )
    return found


def _lines(folder: Path, path: str) -> tuple[str, ...]:
    """The lines of the text file that belongs to a path."""
    relative = PurePath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.name:
        relative = PurePath(relative.name or "unnamed")
    file = folder / relative.with_suffix(".txt")
    try:
        # some editors put a byte order mark before the text
        with input_errors(file):
            text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    except UnicodeDecodeError:
        raise DataError(f"{file}: expected text in UTF-8, got other bytes; save it again") from None
    return _kept(text.splitlines())


def _files(source: str | os.PathLike[str]) -> list[Path]:
    """The files of captions that are meant; empty if there are none."""
    name, place = os.fspath(source), Path(source)
    if name.startswith(HUB):
        found = hub_files(name)
        return [] if isinstance(found, Path) else found
    return [place] if place.is_file() else matches(name, place)


def _from_tars(files: Sequence[Path], paths: Sequence[str], column: str | None) -> Captions:
    """The texts of the samples whose keys are those of the paths."""
    parted = [key_and_ending(path) for path in paths]
    keys = ["" if own is None else own[0] for own in parted]
    names = ("txt", *TEXT_COLUMNS) if column is None else (column,)
    texts = tar_captions(files, {key for key in keys if key}, names)
    return [_kept(texts.get(key, ())) for key in keys]


def _joined(parts: Sequence[Captions]) -> Captions:
    """The captions of each signal in several files."""
    return [sum(own, ()) for own in zip(*parts, strict=True)]


def _from_parquet(file: Path, paths: Sequence[str], column: str | None) -> Captions:
    table = TableFile(file, expected="a parquet file of captions", fix="write it again")
    name = _text_column(table, column)
    with table.reporting():
        texts = [_texts(item) for item in plain(table.read([name])[name]).to_pylist()]
    keys = _keys(table)
    if keys is not None:
        return _by_path(keys, texts, paths)
    if len(texts) != len(paths):
        raise DataError(
            f"{file}: expected a column {' or '.join(PATH_COLUMNS[:2])}, or {len(paths)} rows in "
            f"the order of the tokens, got {len(texts)} rows; add the column"
        )
    return texts


def _keys(table: TableFile) -> list[Any] | None:
    """The path of each row; None if there is no column of paths."""
    named = [name for name in PATH_COLUMNS if name in table.names]
    for name in named:
        kind = table.type_of(name)
        inner = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
        if is_text(kind) or (inner and is_text(kind.field("path").type)):
            with table.reporting():
                column = table.read([f"{name}.path" if inner else name])[name]
                found = pc.struct_field(column, "path") if inner else plain(column)
                return found.to_pylist()
    if named:
        warnings.warn(
            f"{table.path}: captions are taken in the order of the tokens: expected text in column"
            f" '{named[0]}', got {table.type_of(named[0])}",
            DataWarning,
            stacklevel=5,
        )
    return None


def _by_path(keys: list[Any], texts: Captions, paths: Sequence[str]) -> Captions:
    by_path: dict[str, tuple[str, ...]] = {}
    for key, found in zip(keys, texts, strict=True):
        by_path[str(key)] = by_path.get(str(key), ()) + found
    return [by_path.get(path, ()) for path in paths]


def _text_column(table: TableFile, wanted: str | None) -> str:
    names = [wanted] if wanted else [name for name in TEXT_COLUMNS if name in table.names]
    kind = table.type_of(names[0]) if names and names[0] in table.names else None
    if kind is not None and is_list(kind):
        kind = kind.value_type
    if kind is None or not is_text(kind):
        expected = f"a column {wanted!r}" if wanted else f"a column {' or '.join(TEXT_COLUMNS)}"
        raise DataError(
            f"{table.path}: expected {expected} of texts or lists of texts, got the columns"
            f" {', '.join(table.names)[:200]}; name it with --caption-column"
        )
    return str(names[0])


def _texts(item: Any) -> tuple[str, ...]:
    return _kept(item if isinstance(item, list) else [item])


def _kept(texts: Iterable[Any]) -> tuple[str, ...]:
    """The texts that are not blank."""
    return tuple(text.strip() for text in texts if isinstance(text, str) and text.strip())
