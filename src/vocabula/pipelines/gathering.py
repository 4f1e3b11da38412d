"""Finds the pictures in files and folders that a user names, and their targets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocabula.data.folder import find_images
from vocabula.data.pixels import read_header, what_is_lost
from vocabula.data.source import (
    BrokenImageError,
    DataWarning,
    picture_error,
    report_problems,
    summarize,
)
from vocabula.errors import DataError, OptionError, OutputError, plural
from vocabula.files import LONGEST_NAME, check_apart, check_new_file, cut_name, is_stream

SUFFIX = ".vcb"
ARRAYS = (".npy", ".npz", ".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to compress.

    Attributes:
        path: where it is.
        name: its path in what is written: below its folder, or the file's name.
        folder: the folder it was found in, if it may be left out; None for a file that must be
            read.
        size: height and width, from its header.
    """

    path: Path
    name: Path
    folder: Path | None
    size: tuple[int, int]


def gather_pictures(
    files: Sequence[str | os.PathLike[str]],
    size_of: Callable[[Path], tuple[int, int]],
    *,
    strict: bool = False,
) -> list[Picture]:
    """The pictures of files and, recursively, of folders, each looked at by its header.

    Files in folders that are not pictures are left out with a warning. Files that the user named
    must be pictures; the error names all that are not.

    Args:
        files: files and folders. If there are several, pictures in a folder keep its name.
        size_of: gives height and width of a picture, or raises an error.
        strict: also refuse files in a folder that are not pictures.

    Raises:
        DataError: a file is not a picture, or there is none.
    """
    found: list[Picture] = []
    wrong: list[DataError] = []
    for path in map(Path, files):
        if path.is_dir():
            top = Path(path.resolve().name) if len(files) > 1 else Path()
            found += _in_folder(path, top, size_of, strict)
            continue
        try:
            found.append(Picture(path, Path(path.name), None, size_of(path)))
        except DataError as error:
            wrong.append(error)
    if len(wrong) > 1:
        reasons = "; ".join(str(error).rsplit("; ", 1)[0] for error in wrong)
        raise DataError(
            f"compress: expected pictures, got {plural(len(wrong), 'file')} of {len(files)} that "
            f"cannot be compressed: {reasons}; leave them out"
        )
    if wrong:
        raise wrong[0]
    return found


def _in_folder(
    folder: Path, top: Path, size_of: Callable[[Path], tuple[int, int]], strict: bool
) -> list[Picture]:
    paths, problems = find_images(folder)
    found, total = [], len(paths) + len(problems)
    for path in paths:
        name = path.relative_to(folder)
        try:
            found.append(Picture(path, top / name, None if strict else folder, size_of(path)))
        except DataError as error:
            problems.append(str(error).replace(str(path), str(name), 1).rsplit("; ", 1)[0])
    if not found:
        got = f"only {summarize(problems)}" if problems else "an empty folder"
        raise DataError(f"{folder}: expected pictures, got {got}; give a folder that holds some")
    report_problems(str(folder), problems, total, strict=strict)
    return found


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
