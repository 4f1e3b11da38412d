"""Writes results whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vocabula.errors import OutputError


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that holds something already, or that cannot be written.

    Args:
        path: the file or folder to write.
        overwrite: whether it may exist.

    Raises:
        OutputError: it exists and `overwrite` is off, or its folder is missing or read-only.
    """
    full = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if full and not overwrite:
        raise OutputError(
            f"{path}: expected a new output, got an existing one; "
            "choose another name or add --overwrite"
        )
    above = path.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise OutputError(
            f"{above}: expected a folder to write into, got a file; choose another place"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{above}: expected a folder that can be written, got no permission; "
            "check its rights or choose another place"
        )


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    Raises:
        OutputError: see `check_new`; or `path` is a folder; or its folder cannot be made.
    """
    if path.is_dir():
        raise OutputError(f"{path}: expected a file to write, got a folder; add a file name")
    check_new(path, overwrite=overwrite)
    _make_folder(path.parent)
    temporary = path.parent / f".{path.name[:80]}.{os.getpid()}.partial{path.suffix}"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`; its files move into `path` when the block ends well.

    With `overwrite`, files of the same name are replaced; all others in `path` stay.

    Raises:
        OutputError: see `check_new`; or `path` is a file; or its parent cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected a folder to write, got a file; choose another name")
    check_new(path, overwrite=overwrite)
    _make_folder(path.absolute().parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.", dir=path.absolute().parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        if not path.exists():
            os.replace(temporary, path)
        else:
            _move_into(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into(source: Path, target: Path) -> None:
    for file in sorted(p for p in source.rglob("*") if not p.is_dir()):
        place = target / file.relative_to(source)
        _make_folder(place.parent)
        os.replace(file, place)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: expected a folder that can be made, got {error.strerror or error}; "
            "choose another place"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
