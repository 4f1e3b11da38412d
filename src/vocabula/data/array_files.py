"""Images from .npy and .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vocabula.data.arrays import ArraySource, check_label_count
from vocabula.data.labels import Labels, UnusableLabelsError, kept_labels, labels_of_array
from vocabula.data.numpy_files import (
    BadArrayError,
    NpzFile,
    PythonObjectsError,
    bad_file,
    map_npy,
)

IMAGE_KEYS = ("images", "image", "x", "data", "arr_0")
"""Names under which images are looked for in an .npz file, in this order."""


LABEL_KEYS = ("labels", "label", "y", "arr_1")
"""Names under which labels are looked for in an .npz file, in this order."""


def open_array(
    path: Path, *, channels: int | None = None, value_range: tuple[float, float] | None = None
) -> ArraySource:
    """Open an .npy file (memory mapped) or an .npz file (read whole). Nothing is unpickled.

    In an .npz file the images are the first of `IMAGE_KEYS`, the labels the first of `LABEL_KEYS`.

    Raises:
        DataError: the file is damaged, holds Python objects or no images.
    """
    labels: Labels | None = None
    if path.suffix.lower() == ".npy":
        images = map_npy(path)
    else:
        with NpzFile(path) as archive:
            images, labels = _pick(archive, path)
    return ArraySource(
        images,
        None if labels is None else labels.values,
        name=str(path),
        channels=channels,
        value_range=value_range,
        label_names=None if labels is None else labels.names,
    )


def _pick(archive: NpzFile, path: Path) -> tuple[NDArray[Any], Labels | None]:
    """The images and labels of an archive."""
    image_key = archive.choose(IMAGE_KEYS)
    try:
        images = archive.read(image_key)
    except BadArrayError as got:
        raise bad_file(path, got) from got
    label_key = archive.first(LABEL_KEYS)
    if label_key is None:
        return images, None
    return images, _read_labels(archive, label_key, path, len(images) if images.ndim else 1)


def _read_labels(archive: NpzFile, key: str, path: Path, count: int) -> Labels | None:
    def read() -> Labels:
        try:
            array = archive.read(key)
        except PythonObjectsError as got:
            raise UnusableLabelsError(got) from got
        except BadArrayError as got:
            raise bad_file(path, got) from got
        check_label_count(array, count, str(path))
        return labels_of_array(array)

    return kept_labels(f"{path}: array {key!r}", read)
