"""Turns what a user types as DATA into a source of images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vocabula.data.array_files import open_array
from vocabula.data.audio_formats import OF_AUDIO, named_like_audio
from vocabula.data.bundled import SAMPLES
from vocabula.data.folder import FolderSource
from vocabula.data.held_out import shard_pattern
from vocabula.data.hub_data import hub_files
from vocabula.data.image_problems import DataWarning, report_problems
from vocabula.data.image_tars import TarSource
from vocabula.data.parquet import ParquetSource
from vocabula.data.picture_formats import (
    LONGEST_BEGINNING,
    begins_like_picture,
    named_like_picture,
    unopened,
)
from vocabula.data.places import (
    COMPRESSED,
    HUB,
    KINDS,
    OF_COMPRESSED,
    check_place,
    matches,
    sample_split,
)
from vocabula.data.source import ImageSource
from vocabula.data.splits import find_splits, split_shards
from vocabula.errors import DataError
from vocabula.files import check_plain

_KINDS = "a folder of pictures, a .parquet, .tar, .npy or .npz file, or sample:photos"
SHARDS: Mapping[str, Callable[..., ImageSource]] = {".parquet": ParquetSource, ".tar": TarSource}
"""What opens files that hold many pictures each, by the end of their names."""


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
            - a .parquet or .tar file, a folder of them, or a pattern such as
              ``data/train-*.parquet`` or ``shards/{000..099}.tar``;
            - ``hf:NAME[/CONFIG][:SPLIT]``, a data set of the Hugging Face hub or a folder in its
              layout (see `hub_files`);
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
    if name.startswith(HUB):
        return _open_hub(name, strict=strict, channels=channels)
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
        return _open_shards(matches(name, path), name, strict=strict, channels=channels)
    if not os.access(path, os.R_OK):
        raise DataError(f"{name}: expected a readable file, got no permission; check its rights")
    if suffix in SHARDS:
        return _open_shards([path], name, strict=strict, channels=channels)
    if is_picture_file(path):
        return FolderSource(path.parent, [path], name=name, strict=strict, channels=channels)
    advice = "convert it"
    if named_like_audio(path):
        advice = OF_AUDIO
    elif suffix in COMPRESSED:
        advice = OF_COMPRESSED
    elif suffix == ".csv":
        advice += ", or train a tokenizer of vectors on it (--preset vectors)"
    raise DataError(f"{name}: expected {KINDS}, got a file ending in '{suffix}'; {advice}")


def _open_sample(name: str, *, strict: bool, channels: int | None) -> ImageSource:
    sample, split = sample_split(name)
    if sample not in SAMPLES:
        raise DataError(f"{name}: expected images, got recordings; {OF_AUDIO}")
    return SAMPLES[sample](split, strict=strict, channels=channels)


def _open_folder(path: Path, name: str, *, strict: bool, channels: int | None) -> ImageSource:
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"{name}: expected a readable folder, got no permission; check its rights")
    splits = find_splits(path)
    if splits.doubt:
        warnings.warn(splits.doubt, DataWarning, stacklevel=3)
    if splits.folders:
        path = training_folder(name, splits.folders)
        name = str(path)
    shards = split_shards(path)
    if not shards:
        return FolderSource(path, name=name, strict=strict, channels=channels)
    return _open_shards(only_shards(name, shards), name, strict=strict, channels=channels)


def _open_hub(name: str, *, strict: bool, channels: int | None) -> ImageSource:
    files = hub_files(name)
    if isinstance(files, Path):
        return FolderSource(files, name=name, strict=strict, channels=channels)
    if files[0].suffix.lower() in SHARDS:
        return _open_shards(files, name, strict=strict, channels=channels)
    root = Path(os.path.commonpath([file.parent for file in files]))
    return FolderSource(root, files, name=name, strict=strict, channels=channels)


def _open_shards(
    files: Sequence[Path], name: str, *, strict: bool, channels: int | None
) -> ImageSource:
    """Pictures in files of one kind that hold many each."""
    opener = SHARDS[files[0].suffix.lower()]
    found = opener(files, name=name, strict=strict, channels=channels)
    others = found.passed_over
    report_problems(name, others, len(found) + len(others), strict=strict)
    return found


def only_shards(name: str, shards: Mapping[str, list[Path]]) -> list[Path]:
    """The files of the training split, or of the only one; see `split_shards`.

    Raises:
        DataError: there are several and none is for training.
    """
    if "train" in shards:
        return shards["train"]
    if len(shards) > 1:
        split, files = max(shards.items())
        raise DataError(
            f"{name}: expected the files of one split, got"
            f" {', '.join(sorted(known or 'others' for known in shards))};"
            f" choose one, as in {shard_pattern(files, split)}"
        )
    return next(iter(shards.values()))


def training_folder(name: str, folders: Mapping[str, Path]) -> Path:
    """The folder of the training split, or of the only one; see `find_splits`.

    Raises:
        DataError: there are several and none is for training.
    """
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
