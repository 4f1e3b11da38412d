"""Which columns of a parquet file are images and labels, and the labels of several files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vocabula.data.audio_formats import OF_AUDIO
from vocabula.data.column_types import is_list, is_number, is_text, plain
from vocabula.data.image_problems import DataWarning
from vocabula.data.labels import Labels, UnusableLabelsError, kept_labels, labels_of
from vocabula.data.tables import TableFile, columns_in_words
from vocabula.errors import DataError

LABEL_NAMES = ("label", "labels", "class", "target", "fine_label", "class_name", "category")
"""Columns with these names are labels where the file's metadata say nothing; in this order."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file that are read.

    Attributes:
        image: name of the column of images.
        is_struct: whether it holds structs of bytes and path rather than bytes.
        label: name of the column of labels, or None.
        label_names: class names from the file's metadata, or None.
        others: further columns that could be labels.
    """

    image: str
    is_struct: bool
    label: str | None
    label_names: list[str] | None
    others: tuple[str, ...] = ()


def find_columns(table: TableFile) -> Columns:
    """Find the columns of images and labels, by the ``huggingface`` metadata or by name and type.

    Raises:
        DataError: there is no column of images, or two columns have its name.
    """
    features = features_of(table.schema)
    fields = {field.name: field.type for field in table.schema}
    images = [name for name, kind in features.items() if kind.get("_type") == "Image"]
    images = [name for name in images if _is_image(fields.get(name))] or _by_type(table.schema)
    recordings = {name for name, kind in features.items() if kind.get("_type") == "Audio"}
    images = [name for name in images if name not in {"audio", *recordings}]
    if not images:
        advice = "give a file with the Hugging Face image feature"
        raise DataError(
            f"{table.path}: expected a column of images (a struct of bytes and path), got"
            f" {columns_in_words(table.schema)};"
            f" {OF_AUDIO if recordings or 'audio' in fields else advice}"
        )
    image = "image" if "image" in images else images[0]
    kind = table.type_of(image)
    classes = [name for name, kind in features.items() if kind.get("_type") == "ClassLabel"]
    known = [name for name in classes if name in fields]
    named = [name for name in LABEL_NAMES if name in fields and name not in images]
    candidates = [n for n in LABEL_NAMES if n in known] + [n for n in known if n not in LABEL_NAMES]
    usable = [
        name for name in named if is_text(fields[name]) or is_number(plain_type(fields[name]))
    ]
    candidates = list(dict.fromkeys([*candidates, *usable, *named]))
    label = candidates[0] if candidates else None
    if label is not None:
        table.type_of(label)  # exactly once
    names = features.get(label or "", {}).get("names")
    names = [str(name) for name in names] if isinstance(names, list) else None
    return Columns(image, pa.types.is_struct(kind), label, names, tuple(candidates[1:]))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary-encoded column."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def put_together(name: str, parts: Sequence[Any], columns: Sequence[Columns]) -> Labels | None:
    """The labels of several files; if unusable, None, with one warning that says why.

    If files name their classes differently, labels are matched by name.

    Args:
        name: what messages call the data.
        parts: the column of labels of each file.
        columns: the columns of each file.
    """
    first = columns[0]
    if first.label is None:
        return None
    if first.others:
        warnings.warn(
            f"{name}: labels are taken from column '{first.label}', not from '{first.others[0]}';"
            " rename or drop columns to choose another",
            DataWarning,
            stacklevel=4,
        )

    def read() -> Labels:
        names = [found.label_names for found in columns]
        if all(own == names[0] for own in names):
            return labels_of(_joined(parts), names[0])
        texts = [_texts(part, own) for part, own in zip(parts, names, strict=True)]
        return labels_of(_joined(texts), sorted({n for own in names for n in own or ()}))

    return kept_labels(f"{name}: column '{first.label}'", read)


def _texts(column: Any, names: Sequence[str] | None) -> Any:
    """Labels as the names of their classes."""
    found = labels_of(column, names)
    if found.names is None:
        raise UnusableLabelsError("names of the classes in some files only")
    known = [*found.names, None]
    if found.values.max(initial=-1) >= len(found.names):
        raise UnusableLabelsError(f"class {found.values.max()} of {len(found.names)} names")
    return pa.array([known[value] for value in found.values.tolist()], pa.string())


def _joined(parts: Sequence[Any]) -> Any:
    """The columns of several files as one column; their types may differ."""
    parts = [plain(part) for part in parts]
    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    if len(kinds) > 1:
        if all(is_number(kind) for kind in kinds):
            exact = all(not pa.types.is_floating(kind) for kind in kinds)
            common = pa.int64() if exact else pa.float64()
        elif all(is_text(kind) for kind in kinds):
            common = pa.large_string()
        else:
            raise UnusableLabelsError(" in one file and ".join(sorted(map(str, kinds))))
        kinds = {common}
    common = kinds.pop() if kinds else pa.null()
    try:
        arrays = [part.cast(common) for part in parts]
    except pa.ArrowInvalid as error:
        raise UnusableLabelsError(str(error).splitlines()[0]) from None
    chunks = [c for a in arrays for c in (a.chunks if isinstance(a, pa.ChunkedArray) else [a])]
    return pa.chunked_array(chunks, common)


def features_of(schema: Any) -> dict[str, Mapping[str, Any]]:
    """The features by column in a file's ``huggingface`` metadata, or nothing."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = stored["info"]["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _by_type(schema: Any) -> list[str]:
    fields = [field for field in schema if _is_image(field.type)]
    structs = [field.name for field in fields if pa.types.is_struct(field.type)]
    return structs + [field.name for field in fields if field.name not in structs]


def _is_image(kind: pa.DataType | None) -> bool:
    """Whether a type can hold encoded pictures: bytes, or structs with a field ``bytes``."""
    if kind is None:
        return False
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and (_is_bytes(kind[place].type) or pa.types.is_null(kind[place].type))
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    kind = plain_type(kind)
    if is_list(kind):
        return pa.types.is_uint8(kind.value_type)
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(is_it(kind) for is_it in tests)
