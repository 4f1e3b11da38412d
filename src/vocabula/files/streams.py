"""Outputs that are not files: devices, pipes, and open files of this process like /dev/stdout.

They are written to, and never replaced.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import BinaryIO

from vocabula.errors import OutputError

READER_SECONDS = 5.0
"""How long a pipe may take to get a reader."""

_LONGEST_CHAIN = 40  # limit of symbolic links, as in Linux
_taken: set[tuple[int, int]] = set()


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a character device, a pipe, or an open file of this process."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or _descriptor(path) is not None


def send(content: Path, path: Path) -> None:
    """Write the content of a file to a stream.

    Args:
        content: a complete file.
        path: the stream.

    Raises:
        OutputError: it is a pipe without a reader.
        OSError: the stream refuses.
    """
    if sys.stdout is not None:
        sys.stdout.flush()  # printed text stays before what is written
    with open(content, "rb") as source, _opened(path) as target:
        shutil.copyfileobj(source, target, 2**20)


def take_stdout(path: Path) -> None:
    """Note that an output stream may be standard output; see `stdout_is_taken`."""
    if (place := _identity(1)) is not None and place == _identity(path):
        _taken.add(place)


def stdout_is_taken() -> bool:
    """Whether an output of this process goes to standard output, so that text must not."""
    return bool(_taken) and _identity(1) in _taken


def _opened(path: Path) -> BinaryIO:
    """A stream opened for writing; for a pipe, a reader is awaited for some seconds."""
    number = _descriptor(path)
    if number is not None:
        return os.fdopen(os.dup(number), "wb")
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    deadline = time.monotonic() + READER_SECONDS
    while True:
        try:
            opened = os.open(path, flags)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() > deadline:
                raise OutputError(
                    f"{path}: expected a pipe that a program reads, got one without a reader; "
                    "start the reader first"
                ) from None
            time.sleep(0.02)
        else:
            os.set_blocking(opened, True)
            return os.fdopen(opened, "wb")


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """The number of this process's open file that a path such as ``/dev/stdout`` leads to."""
    place = os.path.abspath(path)
    for _ in range(_LONGEST_CHAIN):
        folder, name = os.path.realpath(os.path.dirname(place)), os.path.basename(place)
        if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd|/dev/fd", folder):
            return int(name) if name.isdigit() else None
        place = os.path.join(folder, name)
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


def _identity(file: int | Path) -> tuple[int, int] | None:
    """Device and inode number of an open file or a path."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
