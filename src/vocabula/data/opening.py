"""Turns what a user types as DATA into a source of images."""

from __future__ import annotations

import glob
import os
import re
import warnings
from pathlib import Path

from vocabula.data.arrays import open_array
from vocabula.data.bundled import SAMPLES
from vocabula.data.folder import FolderSource
from vocabula.data.parquet import ParquetSource
from vocabula.data.picture_formats import (
    LONGEST_BEGINNING,
    begins_like_picture,
    named_like_picture,
    unopened,
)
from vocabula.data.places import KINDS, check_place, matches
from vocabula.data.source import DataWarning, ImageSource
from vocabula.data.splits import EVALUATION_SPLITS, SPLITS, beside, find_splits, split_shards
from vocabula.errors import DataError
from vocabula.files import check_plain

_KINDS = "a folder of pictures, a .parquet, .npy or .npz file, or sample:photos"


def open_source(
    path_or_name: str | os.PathLike[str],
    *,
    strict: bool = False,
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> ImageSource:
    """Open images by path or name.

    Args:
        path_or_name: one of

            - a folder of pictures, or one picture (see `FolderSource`);
            - a .parquet file, a folder of them, or a pattern such as ``data/train-*.parquet``;
            - an .npy or .npz file (see `ArraySource`);
            - ``sample:photos`` or ``sample:digits``, or a split of them: ``sample:photos/test``.

            A folder whose sub-folders or shards are named after splits (train, test, ...) stands
            for its training split, or its only split; see `find_splits`.
        strict: refuse files that are broken or no pictures, instead of skipping them with a
            `DataWarning`.
        channels: requested channels, 1 (grey) or 3 (RGB); None keeps those of the data.
        value_range: (low, high) of the values in .npy and .npz files, default (0, 1) for floats.

    Raises:
        DataError: the data are missing, empty, damaged or do not convert to `channels`.
    """
    name = os.fspath(path_or_name)
    check_place(name)
    if name.startswith("sample:"):
        return _open_sample(name, strict=strict, channels=channels)
    path = Path(name).expanduser()
    check_plain(path, _KINDS)
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz") and path.is_file():
        return open_array(path, channels=channels, value_range=value_range)
    if value_range is not None:
        raise DataError(
            f"{name}: expected data.value_range for .npy and .npz files only,"
            f" got {list(value_range)}; leave it out, pictures have 8 bits"
        )
    if path.is_dir():
        return _open_folder(path, name, strict=strict, channels=channels)
    if not path.exists():
        return ParquetSource(matches(name, path), name=name, strict=strict, channels=channels)
    if not os.access(path, os.R_OK):
        raise DataError(f"{name}: expected a readable file, got no permission; check its rights")
    if suffix == ".parquet":
        return ParquetSource([path], name=name, strict=strict, channels=channels)
    if is_picture_file(path):
        return FolderSource(path.parent, [path], name=name, strict=strict, channels=channels)
    advice = "convert it"
    if suffix == ".csv":
        advice += ", or train a tokenizer of vectors on it (--preset vectors)"
    raise DataError(f"{name}: expected {KINDS}, got a file ending in '{suffix}'; {advice}")


def default_evaluation(path_or_name: str | os.PathLike[str]) -> str | None:
    """The data for evaluating a model trained on `path_or_name`, if they can be determined.

    For ``sample:photos`` it is ``sample:photos/test``; for a file, pattern or folder whose name
    says train, and for a folder of splits, it is the neighbouring test (or validation) split.

    Returns:
        An argument for `open_source`, or None.
    """
    name = os.fspath(path_or_name)
    parts = split_names(name)
    inside = held_out_split(name)
    if inside is not None and "train" in parts:
        return inside
    if name.startswith("sample:"):
        trained = name.removesuffix("/train")
        return split_names(trained).get("test") if trained != name else None
    path = Path(name).expanduser()
    folders = beside(path) if path.is_dir() else {}
    for split in EVALUATION_SPLITS:
        if split in folders:
            return str(folders[split])
        if "train" in path.name:
            other = path.with_name(path.name.replace("train", split, 1))
            if other.exists() or glob.glob(str(other)):
                return str(other)
    return None


def split_names(path_or_name: str | os.PathLike[str]) -> dict[str, str]:
    """The splits of data with several splits, each as an argument for `open_source`.

    Returns:
        Names by split, for a built-in sample named without a split or a folder whose sub-folders or
        shards are named after splits; empty if there are no splits.

    Raises:
        DataError: see `find_splits`.
    """
    name = os.fspath(path_or_name)
    if name.startswith("sample:"):
        known = name.removeprefix("sample:") in SAMPLES
        return {split: f"{name}/{split}" for split in ("train", "test")} if known else {}
    path = Path(name).expanduser()
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        return {}
    found = {split: str(folder) for split, folder in find_splits(path).folders.items()}
    if found:
        return found
    shards = split_shards(path)
    found = {s: _pattern(shards[s], s) for s in SPLITS if s in shards}
    return found if len(found) > 1 else {}


def held_out_split(path_or_name: str | os.PathLike[str]) -> str | None:
    """The split to evaluate on, as an argument for `open_source`; None unless there are several."""
    parts = split_names(path_or_name)
    return next((parts[split] for split in EVALUATION_SPLITS if split in parts), None)


def _open_sample(name: str, *, strict: bool, channels: int | None) -> ImageSource:
    sample, _, split = name.removeprefix("sample:").partition("/")
    return SAMPLES[sample](split or "train", strict=strict, channels=channels)


def _open_folder(path: Path, name: str, *, strict: bool, channels: int | None) -> ImageSource:
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"{name}: expected a readable folder, got no permission; check its rights")
    splits = find_splits(path)
    if splits.doubt:
        warnings.warn(splits.doubt, DataWarning, stacklevel=3)
    if splits.folders:
        path = _training_folder(name, splits.folders)
        name = str(path)
    shards = split_shards(path)
    if not shards:
        return FolderSource(path, name=name, strict=strict, channels=channels)
    if "train" in shards:
        return ParquetSource(shards["train"], name=name, strict=strict, channels=channels)
    if len(shards) > 1:
        split, files = max(shards.items())
        raise DataError(
            f"{name}: expected the files of one split, got"
            f" {', '.join(sorted(known or 'others' for known in shards))};"
            f" choose one, as in {_pattern(files, split)}"
        )
    return ParquetSource(next(iter(shards.values())), name=name, strict=strict, channels=channels)


def _training_folder(name: str, folders: dict[str, Path]) -> Path:
    """The folder of the training split, or of the only one."""
    if "train" not in folders and len(folders) > 1:
        raise DataError(
            f"{name}: expected a training split, got {', '.join(sorted(folders))}; name the one to "
            f"read, as in {next(iter(folders.values()))}"
        )
    return folders.get("train") or next(iter(folders.values()))


def is_picture_file(path: Path) -> bool:
    """Whether a named file is tried as a picture: its name or its first bytes say so."""
    if named_like_picture(path):
        return True
    with open(path, "rb") as file:
        start = file.read(LONGEST_BEGINNING)
    return begins_like_picture(start) or unopened(path, start) is not None


def _pattern(files: list[Path], split: str) -> str:
    """One file, or the pattern that matches the files of a split."""
    if len(files) == 1:
        return str(files[0])
    word = re.search(split, files[0].name, re.IGNORECASE)
    start = files[0].name[: word.end() if word else 4]
    return str(Path(glob.escape(str(files[0].parent))) / f"{glob.escape(start)}*.parquet")
