"""The pictures in a folder, and why other files are left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocabula.data.audio_formats import OF_AUDIO, named_like_audio
from vocabula.data.image_problems import BrokenImageError, summarize
from vocabula.data.picture_formats import (
    COMMON_SUFFIXES,
    LONGEST_BEGINNING,
    begins_like_picture,
    has_no_ending,
    named_like_picture,
)
from vocabula.data.pixels import Header, read_header
from vocabula.data.reporting import reported
from vocabula.errors import DataError, plural
from vocabula.files import special_kind

_JUNK = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"} | {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a folder are tried.

    Attributes:
        thing: what one of them is, in words.
        by_name: whether a name is that of one.
        by_content: whether first bytes are those of one; asked where a name does not tell.
        room: how many first bytes.
    """

    thing: str
    by_name: Callable[[Path], bool]
    by_content: Callable[[bytes], bool]
    room: int


PICTURES = Wanted("picture", named_like_picture, begins_like_picture, LONGEST_BEGINNING)
"""Files that are tried as pictures; reading their headers shows what they are."""


def find_images(root: Path) -> tuple[list[Path], list[str]]:
    """The picture files below a folder; see `find_files`."""
    return find_files(root, PICTURES)


def find_files(root: Path, wanted: Wanted) -> tuple[list[Path], list[str]]:
    """Find files below a folder by their names, or by first bytes if names do not tell.

    Links to folders are followed, each real folder once. Hidden files and folders, and files that
    operating systems add, are left out.

    Returns:
        The wanted files sorted by path, and all other files, each with the reason.

    Raises:
        DataError: the folder itself cannot be opened.
    """
    found: list[Path] = []
    others: list[str] = []
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == root:
            raise DataError(
                f"{root}: expected a readable folder, got '{error.strerror}'; check its permissions"
            ) from error
        path = Path(error.filename).relative_to(root).as_posix()
        denied = "a folder without permission; check its rights"
        others.append(
            f"{path}/: {denied if isinstance(error, PermissionError) else error.strerror}"
        )

    for folder, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not is_left_out(f))
        for file in (Path(folder, n) for n in names if not is_left_out(n)):
            reason = why_not(file, wanted)
            if reason:
                others.append(f"{file.relative_to(root).as_posix()}: {reason}")
            else:
                found.append(file)
    return sorted(found, key=lambda file: file.relative_to(root).as_posix()), sorted(others)


def is_left_out(name: str) -> bool:
    """Whether a file or folder is not the user's: hidden, or added by an operating system."""
    return name.startswith(".") or name.lower() in _JUNK


def is_picture(file: Path) -> bool:
    """Whether a file of a folder is tried as a picture; see `find_images`."""
    return not why_not(file, PICTURES)


def why_not(file: Path, wanted: Wanted) -> str:
    """Why a file of a folder is not tried; empty if it is."""
    try:
        kind = special_kind(file)
        if kind:
            return f"a {kind}, not a file"
        if wanted.by_name(file):
            return ""
        if has_no_ending(file):
            with open(file, "rb") as opened:
                if wanted.by_content(opened.read(wanted.room)):
                    return ""
    except PermissionError:
        return "no permission; check its rights"
    except OSError as error:
        return error.strerror or "unreadable"
    return f"not a {wanted.thing} by its name"


def readable_images(
    root: Path, files: Sequence[Path]
) -> tuple[list[Path], list[Header], list[str], list[str]]:
    """The readable files, their headers, what is wrong with the others, and notes."""
    kept, headers, broken, notes = [], [], [], []
    for file in reported(files):
        said: list[str] = []
        path = file.relative_to(root).as_posix()
        try:
            headers.append(read_header(file, said))
            kept.append(file)
            notes += [f"{path}: {text}" for text in said[:1]]
        except BrokenImageError as reason:
            broken.append(f"{path}: {reason}")
    return kept, headers, broken, notes


def no_images(name: str, problems: Sequence[str]) -> DataError:
    """The error for a folder without a readable picture."""
    expected = f"{name}: expected pictures ({', '.join(COMMON_SUFFIXES)} and others)"
    recordings = sum(named_like_audio(Path(text.rpartition(": ")[0])) for text in problems)
    if recordings:
        return DataError(f"{expected}, got {plural(recordings, 'recording')}; {OF_AUDIO}")
    got = f"only {summarize(problems)}" if problems else "an empty folder"
    return DataError(
        f"{expected}, got {got};"
        " give a folder that holds pictures, a .parquet, .npy or .npz file, or sample:photos"
    )
