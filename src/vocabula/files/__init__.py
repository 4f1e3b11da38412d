"""Files and folders that are complete or absent: written aside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vocabula.errors import OutputError
from vocabula.files.reading import input_error, input_errors, special_kind

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that say that there is no room left."""

_HIDDEN = re.compile(r"\..+\.[0-9a-f]{8}\.part")


class Draft:
    """A file that is written under a hidden name beside its place, and renamed when complete.

    Args:
        path: the file; its folder is made if need be.
        overwrite: replace an existing file.

    Attributes:
        hidden: where to write.

    Raises:
        OutputError: see `check_new`; or `path` is a folder; or its folder cannot be made.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        if path.is_dir():
            raise OutputError(f"{path}: expected a file to write, got a folder; add a file name")
        check_new(path, overwrite=overwrite)
        _make_folder(path.absolute().parent)
        self._path = path
        self._overwrite = overwrite
        self._renamed = False
        self.hidden = _hidden(path)

    def publish(self) -> None:
        """Put the complete file into its place, when the disk has it.

        Raises:
            OutputError: something has come to exist there meanwhile.
            OSError: the disk refuses.
        """
        with open(self.hidden, "rb+") as file:
            os.fsync(file.fileno())
        self.rename()
        sync_folder(self._path.parent)

    def rename(self) -> None:
        """Put a file that the disk has into its place; `sync_folder` makes the name last.

        Raises:
            OutputError: something has come to exist there meanwhile.
            OSError: the disk refuses.
        """
        _check_absent(self._path, overwrite=self._overwrite)
        os.replace(self.hidden, self._path)
        self._renamed = True

    def discard(self) -> None:
        """Remove what was written; nothing happens after `publish`."""
        if not self._renamed:
            with contextlib.suppress(OSError):
                self.hidden.unlink()


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden path beside `path`, renamed to it when the block ends without an error.

    Raises:
        OutputError: see `Draft`.
    """
    draft = Draft(path, overwrite=overwrite)
    try:
        yield draft.hidden
        draft.publish()
    finally:
        draft.discard()


def new_files(contents: Iterable[tuple[Path, bytes]], *, overwrite: bool = False) -> None:
    """Write small files, each whole or absent; the disk is asked for their names once.

    Those before one that fails stay.

    Raises:
        OutputError: see `Draft`; or the disk refuses.
    """
    folders: dict[Path, None] = {}
    try:
        for path, content in contents:
            with output_errors(path):
                draft = Draft(path, overwrite=overwrite)
                try:
                    write_bytes(draft.hidden, content)
                    draft.rename()
                finally:
                    draft.discard()
            folders[path.parent] = None
    finally:
        for folder in folders:
            sync_folder(folder)


def replace_file(path: Path, content: bytes) -> None:
    """Write or replace a file; at every moment the old or the new content is there."""
    with new_file(path, overwrite=True) as hidden:
        hidden.write_bytes(content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in place and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, removed at the end unless it was renamed."""
    hidden = _hidden(path)
    hidden.mkdir()
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False, last: str = "") -> Iterator[Path]:
    """A hidden folder beside `path`; its files move into `path` when the block ends well.

    With `overwrite`, files of the same name are replaced; all others in `path` stay.

    Args:
        path: the folder.
        overwrite: whether it may hold something.
        last: name of the file that moves last, as the sign that the others are there.

    Raises:
        OutputError: see `check_new`; or `path` is a file; or its parent cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected a folder to write, got a file; choose another name")
    check_new(path, overwrite=overwrite)
    place = path.resolve()
    _make_folder(place.parent)
    with hidden_folder(place) as hidden:
        yield hidden
        if not place.exists():
            os.replace(hidden, place)
        else:
            _move_into(hidden, place, last)
        sync_folder(place.parent)


def replace_folder(hidden: Path, path: Path) -> None:
    """Rename a complete folder to `path`; a folder already there is put aside and removed."""
    if path.exists():
        remove_folder(path)
    os.replace(hidden, path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder; under a hidden name first, so that no half-removed one is ever seen."""
    hidden = _hidden(path)
    os.replace(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def remove_hidden(folder: Path) -> None:
    """Remove what interrupted writes have left in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not is_hidden(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_hidden(path: Path) -> bool:
    """Whether a path is named like a file or folder that is being written."""
    return _HIDDEN.fullmatch(path.name) is not None


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; where that exists as an operation."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that holds something already, or that cannot be written.

    Args:
        path: the file or folder to write.
        overwrite: whether it may exist.

    Raises:
        OutputError: it exists and `overwrite` is off, or its folder is no folder or read-only.
    """
    _check_absent(path, overwrite=overwrite)
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


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, under whatever name.

    Raises:
        OutputError: an output is one of the inputs.
    """
    read = {(found.st_dev, found.st_ino) for found in (path.stat() for path in inputs)}
    for path in outputs:
        with contextlib.suppress(OSError):
            found = path.stat()
            if (found.st_dev, found.st_ino) in read:
                raise OutputError(
                    f"{path}: expected an output apart from the inputs, got one of them; "
                    "choose another name"
                )


@contextlib.contextmanager
def output_errors(path: Path | str, *, then: str = "", kept: str = "") -> Iterator[None]:
    """Turn a failing write into an `OutputError` with a remedy.

    Args:
        path: the file or folder being written.
        then: what to do after mending the cause, such as "and run again with --resume".
        kept: what is unharmed.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, error, then=then, kept=kept) from None


def output_error(
    path: Path | str, error: Exception, *, then: str = "", kept: str = ""
) -> OutputError:
    """The one-line error for a failed write of `path`; see `output_errors`."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else " ".join(str(error).split())
    full = number in DISK_FULL or "No space left on device" in reason
    remedy = "free some space or choose another disk" if full else "check the path and its rights"
    words = " ".join(filter(None, [remedy, then, f"({kept})" if kept else ""]))
    return OutputError(f"{path}: expected to write, got '{reason}'; {words}")


def dump_json(content: Any) -> bytes:
    """JSON text, indented, with a stable order of keys."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _check_absent(path: Path, *, overwrite: bool) -> None:
    full = path.exists() and (path.is_file() or (path.is_dir() and any(path.iterdir())))
    if full and not overwrite:
        raise OutputError(
            f"{path}: expected a new output, got an existing one; "
            "choose another name or add --overwrite"
        )


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.part")


def _move_into(source: Path, target: Path, last: str) -> None:
    files = [path for path in source.rglob("*") if not path.is_dir()]
    for file in sorted(files, key=lambda path: (path.name == last, path)):
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
