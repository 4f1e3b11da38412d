"""A folder of picture files, or one picture file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

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

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Names of picture files end in one of these, in small or capital letters."""


class FolderSource(ImageSource):
    """Picture files, decoded when they are read, to uint8.

    Every header is read at the start, which finds files that are no pictures; damage behind the
    header is found when the picture is read.

    Args:
        root: the folder that paths are relative to.
        files: the picture files, in order; found below `root` when None.
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
        others: list[str] = []
        if files is None:
            files, others = find_images(root)
        self._root = root
        kept, headers, broken = _readable(root, files)
        problems = broken + [f"{path}: not a picture by its name" for path in others]
        if not kept:
            raise _nothing(name, problems)
        report_problems(name, problems, len(files) + len(others), strict=strict)
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

    def _read(self, index: int) -> Sample:
        image = decode(self._files[index], self.channels)
        label = None if self._labels is None else self._labels[index]
        return Sample(image, label, self.describe(index), index)


def find_images(root: Path) -> tuple[list[Path], list[str]]:
    """Find picture files below a folder, by name; hidden files and folders are left out.

    Links to folders are followed, each real folder once.

    Returns:
        The picture files sorted by path, and the relative paths of the other files (a folder that
        cannot be opened is one of them).

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
        others.append(Path(error.filename).relative_to(root).as_posix() + "/")

    for folder, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in (Path(folder, n) for n in names if not n.startswith(".")):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                found.append(file)
            else:
                others.append(file.relative_to(root).as_posix())
    return sorted(found, key=lambda file: file.relative_to(root).as_posix()), sorted(others)


def _readable(root: Path, files: Sequence[Path]) -> tuple[list[Path], list[Header], list[str]]:
    kept, headers, broken = [], [], []
    for file in reported(files):
        try:
            headers.append(read_header(file))
            kept.append(file)
        except BrokenImageError as reason:
            broken.append(f"{file.relative_to(root).as_posix()}: {reason}")
    return kept, headers, broken


def _nothing(name: str, problems: Sequence[str]) -> DataError:
    got = f"only {summarize(problems)}" if problems else "an empty folder"
    return DataError(
        f"{name}: expected pictures ({', '.join(s[1:] for s in IMAGE_SUFFIXES)}), got {got};"
        " give a folder that holds pictures, a .parquet, .npy or .npz file, or sample:photos"
    )
