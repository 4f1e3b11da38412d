"""A lock on a folder that only one process at a time may write, such as a run's."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from vocabula.errors import OutputError
from vocabula.files.failures import output_errors
from vocabula.files.places import check_new_folder, real_place

LOCK = ".lock"
"""Name of the file in the folder, while a process writes there."""

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}  # by another process
_NONE_THERE = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}  # on some network disks


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which is created if needed.

    The system holds the lock on a file in the folder while the process lives. A killed process
    leaves no lock, though perhaps the file, which the next one takes over. At the end the file is
    removed, with any folder that was created and is empty. On disks without locks, nothing is kept
    out.

    Args:
        path: the folder.

    Raises:
        OutputError: another process holds the lock; or `path` is no folder or cannot be written.
    """
    check_new_folder(path, overwrite=True)
    folder = real_place(path)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with output_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(path, folder / LOCK):
            yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # it is in use, or others have added to it
                place.rmdir()


@contextlib.contextmanager
def _lock(path: Path, place: Path) -> Iterator[None]:
    descriptor = _locked(path, place)
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        yield
    finally:
        if sys.platform == "win32":  # where an open file cannot be removed
            os.close(descriptor)
        with contextlib.suppress(OSError):
            place.unlink()  # before the lock is released, so that no later lock is lost
        if sys.platform != "win32":
            os.close(descriptor)


def _locked(path: Path, place: Path) -> int:
    """The open and locked file at a place."""
    while True:
        with output_errors(path):
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _ask(descriptor)
            if _is_there(descriptor, place):
                return descriptor
        except OSError as error:
            if error.errno in _NONE_THERE:
                return descriptor
            holder = _holder(descriptor) if error.errno in _TAKEN else ""
            os.close(descriptor)
            if error.errno not in _TAKEN:
                raise
            raise OutputError(
                f"{path}: expected a folder that no other process writes, got a run in progress"
                f"{holder}; wait for it or choose another folder"
            ) from None
        os.close(descriptor)  # another process has just ended and removed the file: try again


def _is_there(descriptor: int, place: Path) -> bool:
    """Whether an open file is still the one at its place."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.stat(place))
    return False


def _holder(descriptor: int) -> str:
    """Who has the lock, in words."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        process, host = os.read(descriptor, 300).decode(errors="replace").split(maxsplit=1)
    except (OSError, ValueError):
        return ""
    elsewhere = "" if host.strip() == socket.gethostname() else f" on {host.strip()}"
    return f" (process {process}{elsewhere})"


if sys.platform == "win32":
    import msvcrt

    def _ask(descriptor: int) -> None:
        os.lseek(descriptor, 2**20, os.SEEK_SET)  # lock beyond the text, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _ask(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
