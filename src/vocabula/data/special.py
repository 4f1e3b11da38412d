"""Files that are no plain files: a pipe is waited for, perhaps for ever, a device has no end."""

from __future__ import annotations

import stat
from pathlib import Path

from vocabula.errors import DataError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


def special_kind(path: Path) -> str:
    """What a path is, in words, if it is neither a plain file nor a link to one; else "".

    Nothing is opened, so nothing is waited for.

    Raises:
        OSError: nothing is there, or it cannot be looked at.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return ""
    return next((name for is_it, name in _KINDS if is_it(mode)), "no file")


def check_plain(path: Path, what: str) -> None:
    """Refuse a pipe, a socket or a device where a file is read; a missing file passes.

    Args:
        path: what the user named.
        what: is expected there, such as "a picture file".

    Raises:
        DataError: it is none.
    """
    try:
        kind = special_kind(path)
    except (OSError, ValueError):  # who opens it says why
        return
    if kind and kind != "a folder":
        raise DataError(f"{path}: expected {what}, got {kind}; copy it to a file first")
