"""Hidden names beside an output, under which it is written until it is complete."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

LONGEST_NAME = 255
"""Bytes that a name may have on common file systems."""

_HIDDEN = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
_SHOWN = 200  # bytes of the output's name in the hidden one


def hidden_name(path: Path) -> Path:
    """A new hidden path beside `path`."""
    return path.with_name(f".{cut_name(path.name, _SHOWN)}.{secrets.token_hex(4)}.part")


def is_hidden(path: Path) -> bool:
    """Whether a path has the name of a file or folder that is being written."""
    return _HIDDEN.fullmatch(path.name) is not None


def cut_name(name: str, most: int) -> str:
    """The beginning of a name within a number of bytes, in whole characters."""
    kept = os.fsencode(name)
    if len(kept) <= most:
        return name
    while len(kept := os.fsencode(name)) > most:
        name = name[: len(name) - max(1, (len(kept) - most) // 4)]
    return name


@contextlib.contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, removed at the end unless it was renamed."""
    hidden = hidden_name(path)
    hidden.mkdir()
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_hidden(folder: Path) -> None:
    """Remove remains of interrupted writes from a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_hidden(path):
            _remove(path)


def clear_folder(folder: Path) -> None:
    """Remove the contents of a folder; the folder stays, even if it is a symbolic link."""
    for path in folder.iterdir() if folder.is_dir() else ():
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
