"""Finds the pictures in files and folders that a user names, and their targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocabula.data.image_files import find_images
from vocabula.data.image_problems import (
    report_problems,
    summarize,
)
from vocabula.errors import DataError, plural

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
