"""The files that pictures are compressed to."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path

from vocabula.data.image_problems import (
    BrokenImageError,
    DataWarning,
    picture_error,
    summarize,
)
from vocabula.data.pixels import has_more_frames, read_header, what_is_lost
from vocabula.errors import DataError, OptionError, OutputError
from vocabula.files import LONGEST_NAME, check_apart, check_new_file, cut_name, is_stream
from vocabula.pipelines.gathering import ARRAYS

SUFFIX = ".vcb"


def checked_size(path: Path, channels: int, *, exact: bool) -> tuple[int, int]:
    """Height and width from a picture's header.

    Args:
        path: the picture.
        channels: the channels it will be decoded to.
        exact: refuse pictures that conversion would alter.

    Raises:
        DataError: it is missing, a folder, not a picture, empty, or does not fit the channels.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected a picture file, got a folder; name the files in it")
    if not path.exists():
        raise DataError(f"{path}: expected a picture file, got nothing there; check the path")
    if path.suffix.lower() in ARRAYS:
        raise DataError(
            f"{path}: expected a picture for a tokenizer of images, got a file of vectors or other "
            f"arrays ({path.suffix}); give a run of their kind, or pictures"
        )
    notes: list[str] = []
    try:
        header = read_header(path, notes)
    except BrokenImageError as reason:
        raise picture_error(path, reason) from None
    for note in notes[:1]:
        warnings.warn(f"{path}: {note}", DataWarning, stacklevel=2)
    if min(header.height, header.width) < 1:
        raise DataError(f"{path}: expected a picture with pixels, got none; leave it out")
    if header.channels > channels:
        raise DataError(
            f"{path}: expected a grey picture, as this run's images have {channels} channel, got "
            f"one of {header.channels}; convert it or give a run for colour"
        )
    lost = what_is_lost(path, channels) if exact else ""
    if lost:
        raise DataError(
            f"{path}: expected a picture that {channels} channels of 8 bits hold without loss, got "
            f"{lost}; convert it first, or compress it without --lossless"
        )
    return header.height, header.width


def warn_of_frames(paths: Sequence[Path]) -> None:
    """Warn of pictures with several frames, of which the first is read."""
    moving = []
    for path in paths:
        with contextlib.suppress(BrokenImageError):  # which is said where it is read
            if has_more_frames(path):
                moving.append(str(path))
    if moving:
        warnings.warn(
            f"only the first of several frames is kept: {summarize(moving)}",
            DataWarning,
            stacklevel=3,
        )


def takes_all(out: Path) -> bool:
    """Whether an output is one file for all pictures, not a folder with one file each."""
    return out.suffix == SUFFIX or is_stream(out)


def targets_of(
    paths: Sequence[Path],
    out: Path | None,
    overwrite: bool,
    names: Sequence[Path] = (),
    *,
    what: str = "pictures",
    advice: str = f"compress them into one file with -o NAME{SUFFIX}",
) -> list[Path]:
    """Where each picture's file goes, all new and all different.

    Args:
        paths: the pictures, or other files.
        out: a folder; None puts each file beside its picture.
        overwrite: allow existing files.
        names: relative paths of the pictures, which `out` mirrors; None puts all directly into it.
        what: what messages call them.
        advice: what to do about two of one name.

    Raises:
        OptionError: two pictures would share an output.
        OutputError: an output exists, or `out` is a file.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise OutputError(
            f"{out}: expected a folder or a name ending in {SUFFIX}, got a file; choose another"
        )
    folders = {path.parent: path.parent.resolve() for path in paths}
    owners: dict[Path, Path] = {}
    targets = []
    for path, inner in zip(paths, names or [Path(path.name) for path in paths], strict=True):
        name = f"{cut_name(path.stem, LONGEST_NAME - len(SUFFIX))}{SUFFIX}"
        target = (path.parent if out is None else out / inner.parent) / name
        folder = folders[path.parent] if out is None else out / inner.parent
        owner = owners.setdefault(folder / name, path)
        if owner is not path:
            raise OptionError(
                f"{path}: expected {what} of different names, got {owner} too, which "
                f"both go to {target}; {advice}"
            )
        targets.append(target)
    for target in targets:
        check_new_file(target, overwrite=overwrite)
    check_apart(targets, paths)
    return targets
