"""Errors of one line for files that cannot be read for reasons outside their content."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vocabula.errors import DataError, VocabulaError
from vocabula.files.text import unicode_text

_REASONS = {
    errno.EACCES: "no permission; check its rights",
    errno.EPERM: "no permission; check its rights",
    errno.ENOENT: "nothing at that place; check the path",
    errno.ENOTDIR: "a path that leads through a file; check it",
    errno.EISDIR: "a folder; give a file",
    errno.ELOOP: "symbolic links that lead in a circle; check them",
    errno.ENAMETOOLONG: "a name that is too long; check the path",
    errno.EIO: "an error of the disk; check the disk or copy the file again",
    errno.ESTALE: "an error of the network disk; try again",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine; close some programs",
}


@contextlib.contextmanager
def input_errors(
    path: Path | str | os.PathLike[str], kind: type[VocabulaError] = DataError
) -> Iterator[None]:
    """Turn a failing read into one line that names the reason, such as missing permissions.

    An `OSError` about the content, as readers of formats raise, passes unchanged.

    Args:
        path: the file being read.
        kind: the error to raise.

    Raises:
        VocabulaError: of the `kind`; the file cannot be opened or the disk fails.
    """
    try:
        yield
    except OSError as error:
        failure = input_error(path, error, kind)
        if failure is None:
            raise
        raise failure from None


def input_error(
    path: Path | str | os.PathLike[str],
    error: BaseException,
    kind: type[VocabulaError] = DataError,
) -> VocabulaError | None:
    """The one-line error for a read of `path` that failed for reasons outside its content.

    Libraries hide the reason behind their own errors, so if `error` has no number, the file is
    opened once more.

    Args:
        path: the file.
        error: what reading it raised.
        kind: the error to make.

    Returns:
        The error to raise; None if the content is at fault.
    """
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    what: str | None
    if number is not None:
        what = _REASONS.get(number, f"'{os.strerror(number)}'; check the file")
    elif (special := special_kind(path)) is not None:
        what = f"a {special}; give a file"
    else:
        what = _opened(path)
    return None if what is None else kind(f"{path}: expected a readable file, got {what}")


def special_kind(path: Path | str | os.PathLike[str]) -> str | None:
    """What is at a path other than a regular file; symbolic links are followed.

    Returns:
        "folder", "pipe", "socket" or "device"; None for a regular file, or if nothing is there.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode))


def check_plain(path: Path, what: str, kind: type[VocabulaError] = DataError) -> None:
    """Refuse pipes, sockets and devices, which may block or never end; other paths pass.

    Args:
        path: what the user named.
        what: what is expected there, such as "a parquet file".
        kind: the error to raise.

    Raises:
        VocabulaError: of the `kind`; a pipe, a socket or a device is there.
    """
    found = special_kind(path)
    if found not in (None, "folder"):
        raise kind(f"{path}: expected {what}, got a {found}; copy it to a file first")


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """The path, or, for libraries that need UTF-8 names, a link to a file with another name.

    Args:
        path: path of an existing file.
    """
    if unicode_text(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vocabula-") as folder:
        link = Path(folder) / "file"
        link.symlink_to(path.absolute())
        yield link


def _opened(path: Path | str | os.PathLike[str]) -> str | None:
    """Why a file cannot be opened and read; None if it can."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return _REASONS.get(error.errno or 0, f"'{reason}'; check the file")
    return None
