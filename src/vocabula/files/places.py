"""Where outputs may go: new places, apart from the inputs, behind symbolic links."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from vocabula.errors import OutputError
from vocabula.files.failures import output_error
from vocabula.files.hidden import LONGEST_NAME, is_hidden
from vocabula.files.reading import special_kind
from vocabula.files.streams import is_stream, take_stdout


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where no file may be written; devices and pipes are written to as they are.

    Args:
        path: the file to write.
        overwrite: whether it may exist.

    Raises:
        OutputError: it exists and `overwrite` is off; or it is a folder, a socket or a disk; or
            its folder is no folder or read-only.
    """
    found = _found(path)
    if found is not None and is_stream(path):
        if not os.access(path, os.W_OK):
            raise _no_permission(path, special_kind(path) or "file")
        take_stdout(path)
        return
    if found is not None and not stat.S_ISREG(found.st_mode):
        what = special_kind(path) or "thing of another kind"
        advice = "add a file name" if what == "folder" else "choose another name"
        raise OutputError(f"{path}: expected a file to write, got a {what}; {advice}")
    if found is not None and not overwrite:
        raise _exists(path)
    _check_place(real_place(path), path)


def check_new_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where no folder may be written, or that holds something already.

    Args:
        path: the folder to write.
        overwrite: whether it may hold files.

    Raises:
        OutputError: it holds something and `overwrite` is off; or it is no folder; or it, or the
            folder it is in, is read-only.
    """
    found = _found(path)
    if found is None:
        _check_place(real_place(path), path)
        return
    if not stat.S_ISDIR(found.st_mode):
        what = special_kind(path) or "file"
        raise OutputError(f"{path}: expected a folder to write, got a {what}; choose another name")
    _check_above(path)
    if not overwrite and holds_something(path):
        raise _exists(path)


def holds_something(folder: Path) -> bool:
    """Whether a folder has entries, apart from what interrupted writes have left.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return any(not is_hidden(entry) for entry in folder.iterdir())
    except OSError as error:
        raise output_error(folder, error) from None


def real_place(path: Path) -> Path:
    """The absolute path behind a symbolic link, or many; where the last leads nowhere, that place.

    Folders above it may be links still.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path.absolute()


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


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        real_place(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: expected a folder that can be made, got {error.strerror or error}; "
            "choose another place"
        ) from None


def _found(path: Path) -> os.stat_result | None:
    """What is at a path; None where nothing is, or a link leads to nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # the latter of a name with a zero byte
        raise output_error(path, error) from None


def _check_place(place: Path, path: Path) -> None:
    """Refuse a place whose folder cannot be written, or with a name that no disk takes.

    Where the folder is not there, the name would show only when all work is done.
    """
    try:
        longest = max(len(os.fsencode(name)) for name in place.parts)
    except UnicodeEncodeError:
        raise OutputError(
            f"{path}: expected a name in the characters of this system's locale, got others; "
            "choose another name"
        ) from None
    if longest > LONGEST_NAME:
        raise OutputError(
            f"{path}: expected names of at most {LONGEST_NAME} bytes, got one of {longest}; "
            "choose a shorter one"
        )
    _check_above(place.parent)


def _check_above(above: Path) -> None:
    """Refuse a folder in which nothing can be made; the nearest that is there counts."""
    while (found := _found(above)) is None:
        above = above.parent
    if not stat.S_ISDIR(found.st_mode):
        raise OutputError(
            f"{above}: expected a folder to write into, got a file; choose another place"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise _no_permission(above, "folder")


def _no_permission(path: Path, what: str) -> OutputError:
    return OutputError(
        f"{path}: expected a {what} that can be written, got no permission; "
        "check its rights or choose another place"
    )


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"{path}: expected a new output, got an existing one; "
        "choose another name or add --overwrite"
    )
