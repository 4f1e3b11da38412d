"""Files that are complete or absent: write aside, flush to the disk, rename."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocabula.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write or replace a file; at every moment the old or the new content is there."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_bytes(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; where that exists as an operation."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def move_into_place(temporary: Path, target: Path) -> None:
    """Rename a finished folder to `target`; a folder already there is put aside and removed."""
    if target.exists():
        remove_folder(target)
    os.replace(temporary, target)
    sync_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder; under a hidden name first, so that no half-removed one is ever seen."""
    hidden = folder.with_name(f".{folder.name}.removed-{os.getpid()}")
    os.replace(folder, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def dump_json(content: Any) -> bytes:
    """JSON with a stable order of keys."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


@contextlib.contextmanager
def output_errors(what: Path | str, kept: str = "") -> Iterator[None]:
    """Turn a failing write into an `OutputError` with a remedy.

    Args:
        what: the file or folder being written.
        kept: what is unharmed, added to the message.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "free some space" if error.errno in _FULL else "check the path and its rights"
        kept = f" ({kept})" if kept else ""
        raise OutputError(
            f"{what}: expected to write, got {reason.lower()}; {remedy} and run again with "
            f"--resume{kept}"
        ) from None
