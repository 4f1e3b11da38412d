"""File names for decoded images: from their source paths, unique, always below the folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_LONGEST = 100


class OutputNames:
    """Hands out a relative ``.png`` path for each source path, no two alike in any letter case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, path: str) -> PurePosixPath:
        """The name for the image that came from `path`.

        Sub-folders of a relative path are kept; of an absolute one only the last part. Parts that
        lead upwards are dropped, characters that file systems dislike become ``_``, and a name
        that is taken gets ``-2``, ``-3`` and so on.
        """
        parts = [p for p in re.split(r"[/\\]+", path) if p not in ("", ".", "..")]
        if re.match(r"[/\\]|[A-Za-z]:[/\\]", path):
            parts = parts[-1:]
        *folders, last = [_clean(p) for p in parts] or ["image"]
        stem = _without_suffix(last)
        name, copy = stem, 1
        while (key := "/".join([*folders, name]).casefold()) in self._taken:
            copy += 1
            name = f"{stem}-{copy}"
        self._taken.add(key)
        return PurePosixPath(*folders, f"{name}.png")


def _clean(part: str) -> str:
    kept = re.sub(r"[^\w.\-]+", "_", part).strip("._ ")
    return kept[:_LONGEST] or "image"


def _without_suffix(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
