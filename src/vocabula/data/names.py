"""File names for decoded signals: from their source paths, unique, always below the folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vocabula.data.picture_formats import IMAGE_SUFFIXES
from vocabula.files import LONGEST_NAME, cut_name

_LONGEST = 100  # characters of a part
_MOST_BYTES = LONGEST_NAME - len("-9999999.flac")
_LONGEST_PATH = 800  # bytes: Linux takes 4096 in all, macOS 1024
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows


class OutputNames:
    """Gives each source path a relative path of one suffix, unique even in other letter case.

    Args:
        folder: where the files will go. The name of a folder there is not given to a file, nor a
            file's name to a folder. None does not look at the disk.
        suffix: of the files.
        replaced: suffixes of source paths that it replaces; others are part of the name.
        nameless: what a file is called whose source has no name.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        suffix: str = ".png",
        replaced: Sequence[str] = IMAGE_SUFFIXES,
        nameless: str = "image",
    ) -> None:
        self._root = folder
        self._suffix, self._replaced, self._nameless = suffix, tuple(replaced), nameless
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._copies: dict[str, int] = {}  # first number to try for a name that is taken

    def take(self, path: str) -> PurePosixPath:
        """The name for the signal that came from `path`.

        Sub-folders of a relative path are kept, as many as file systems allow; an absolute path
        keeps only its last part. Parts that lead upwards are dropped, characters that file systems
        reject become ``_``, long parts are cut, and a name that is taken gets ``-2``, ``-3`` and so
        on.
        """
        parts = [p for p in re.split(r"[/\\]+", path) if p not in ("", ".", "..")]
        if re.match(r"[/\\]|[A-Za-z]:[/\\]", path):
            parts = parts[-1:]
        *folders, last = parts or [self._nameless]
        above = self._folder(_last_that_fit([self._clean(p) for p in folders]))
        stem = self._clean(self._without_suffix(last.rstrip("._ ")))
        place = self._free(above / stem, self._suffix, file=True)
        self._files.add(_key(place))
        return place

    def _folder(self, parts: list[str]) -> PurePosixPath:
        """The sub-folder for some parts, renamed where files already have these names."""
        place = PurePosixPath()
        for part in parts:
            place = self._free(place / part, "", file=False)
            self._folders.add(_key(place))
        return place

    def _free(self, place: PurePosixPath, suffix: str, *, file: bool) -> PurePosixPath:
        """The path with a suffix, and a number if that is taken."""
        key = _key(place) + suffix
        copy = self._copies.get(key, 1) if file else 1
        while True:
            number = f"-{copy}" if copy > 1 else ""
            found = place.with_name(f"{place.name}{number}{suffix}")
            if not self._is_taken(found, file=file):
                self._copies[key] = copy
                return found
            copy += 1

    def _is_taken(self, place: PurePosixPath, *, file: bool) -> bool:
        key = _key(place)
        if key in self._files or (file and key in self._folders):
            return True
        if self._root is None:
            return False
        there = self._root / place
        return there.is_dir() if file else there.exists() and not there.is_dir()

    def _without_suffix(self, name: str) -> str:
        for suffix in self._replaced:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                return name[: -len(suffix)]
        return name

    def _clean(self, part: str) -> str:
        """A part of a path that every file system accepts."""
        kept = re.sub(r"[^\w.\-]+", "_", unicodedata.normalize("NFC", part)).strip("._ ")
        try:
            os.fsencode(kept)
        except UnicodeEncodeError:  # under a locale with few characters
            kept = re.sub(r"[^!-~]+", "_", kept)
        kept = cut_name(kept[:_LONGEST], _MOST_BYTES).rstrip("._ ") or self._nameless
        return f"_{kept}" if _RESERVED.fullmatch(kept) else kept


def _key(place: PurePosixPath) -> str:
    return str(place).casefold()


def _last_that_fit(folders: list[str]) -> list[str]:
    """As many of the last sub-folders as a path has room for."""
    left = _LONGEST_PATH - LONGEST_NAME
    for count, folder in enumerate(reversed(folders)):
        left -= len(os.fsencode(folder)) + 1
        if left < 0:
            return folders[len(folders) - count :]
    return folders
