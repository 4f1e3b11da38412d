"""A folder of picture files, or one picture file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from vocabula.data.content import content_of_files
from vocabula.data.picture_formats import (
    COMMON_SUFFIXES,
    LONGEST_BEGINNING,
    begins_like_picture,
    has_no_ending,
    named_like_picture,
)
from vocabula.data.pixels import FILE_CHANNELS, Header, channel_error, decode, read_header
from vocabula.data.reporting import reported
from vocabula.data.source import (
    BrokenImageError,
    DataWarning,
    ImageSource,
    Sample,
    report_problems,
    summarize,
)
from vocabula.errors import DataError
from vocabula.files import input_errors, special_kind

_JUNK = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
_JUNK |= {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


class FolderSource(ImageSource):
    """Picture files, decoded when they are read, to uint8.

    Every header is read at the start, which finds files that are no pictures; damage behind the
    header is found when the picture is read.

    Args:
        root: the folder that paths are relative to.
        files: the picture files, in order; None finds them below `root`.
        name: what messages call the data; the root when empty.
        strict: refuse files that are broken or no pictures, instead of skipping them.
        channels: 1, 3 or 4; None takes 1 if every picture is grey and 3 otherwise.

    Labels: if every picture lies in a sub-folder, the sub-folders directly below `root`, sorted by
    name, are the classes; otherwise there are none.

    Raises:
        DataError: the folder is missing, unreadable or without pictures; or strict and problems.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[Path] | None = None,
        *,
        name: str = "",
        strict: bool = False,
        channels: int | None = None,
    ) -> None:
        name = name or str(root)
        if channels is not None and channels not in FILE_CHANNELS:
            raise channel_error(name, channels, 3)
        problems: list[str] = []
        if files is None:
            files, problems = find_images(root)
        found = len(files) + len(problems)
        kept, headers, broken, notes = _readable(root, files)
        problems = broken + problems
        if not kept:
            raise _nothing(name, problems)
        report_problems(name, problems, found, strict=strict)
        if notes:
            text = f"{name}: read in spite of damaged metadata: {summarize(notes)}"
            warnings.warn(text, DataWarning, stacklevel=3)
        self._root = root
        have = max(header.channels for header in headers)
        if channels == 1 and have > 1:
            text = f"{name}: reading colour pictures as grey, for a model of 1 channel"
            warnings.warn(text, DataWarning, stacklevel=3)
        channels = channels or have
        self._files = kept
        self._pixels = [header.height * header.width for header in headers]
        self._smallest = (min(h.height for h in headers), min(h.width for h in headers))
        classes = [path.relative_to(root).parts[:-1][:1] for path in kept]
        names = sorted({c[0] for c in classes if c}) if all(classes) else None
        super().__init__(name, channels, label_names=names, strict=strict)
        self._labels = [names.index(c[0]) for c in classes] if names else None
        self.problems.extend(problems)

    def __len__(self) -> int:
        """The number of pictures whose header is readable."""
        return len(self._files)

    def describe(self, index: int) -> str:
        """The path of one picture, relative to the folder."""
        return self._files[index].relative_to(self._root).as_posix()

    def pixels(self, index: int) -> int:
        """Height times width of one picture, from its header."""
        return self._pixels[index]

    def smallest(self) -> tuple[int, int]:
        """The smallest height and the smallest width, from the headers."""
        return self._smallest

    def content(self) -> str:
        """Hash of the files' sizes and of a sample of their bytes; see `content_of_files`."""
        with input_errors(self._root):
            return content_of_files(self._files)

    def _read(self, index: int) -> Sample:
        image = decode(self._files[index], self.channels)
        label = None if self._labels is None else self._labels[index]
        return Sample(image, label, self.describe(index), index)


def find_images(root: Path) -> tuple[list[Path], list[str]]:
    """Find picture files below a folder by their names, or by first bytes if names do not tell.

    Links to folders are followed, each real folder once. Hidden files and folders, and files that
    operating systems add, are left out.

    Returns:
        The picture files sorted by path, and all other files, each with the reason.

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
            reason = _why_no_picture(file)
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
    return not _why_no_picture(file)


def _why_no_picture(file: Path) -> str:
    """Why a file of a folder is not tried as a picture; empty if it is."""
    try:
        kind = special_kind(file)
        if kind:
            return f"a {kind}, not a file"
        if named_like_picture(file):
            return ""  # reading its header shows what it is
        if has_no_ending(file):
            with open(file, "rb") as opened:
                if begins_like_picture(opened.read(LONGEST_BEGINNING)):
                    return ""
    except PermissionError:
        return "no permission; check its rights"
    except OSError as error:
        return error.strerror or "unreadable"
    return "not a picture by its name"


def _readable(
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


def _nothing(name: str, problems: Sequence[str]) -> DataError:
    got = f"only {summarize(problems)}" if problems else "an empty folder"
    return DataError(
        f"{name}: expected pictures ({', '.join(COMMON_SUFFIXES)} and others), got {got};"
        " give a folder that holds pictures, a .parquet, .npy or .npz file, or sample:photos"
    )
