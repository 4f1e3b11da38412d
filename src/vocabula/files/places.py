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
    """Refuse a path where no file may be written; devices and pipes are accepted.

    Args:
        path: the file to write.
        overwrite: whether it may exist.

    Raises:
        OutputError: it exists and `overwrite` is off; or it is a folder, a socket or a disk; or its
            folder is not a folder or is read-only.
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
    """Refuse a path where no folder may be written, or that already holds something.

    Args:
        path: the folder to write.
        overwrite: whether it may hold files.

    Raises:
        OutputError: it holds something and `overwrite` is off; or it is not a folder; or it or its
            parent is read-only.
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
    """Whether a folder has entries, apart from remains of interrupted writes.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return any(not is_hidden(entry) for entry in folder.iterdir())
    except OSError as error:
        raise output_error(folder, error) from None


def real_place(path: Path) -> Path:
    """The absolute path behind one or more symbolic links; it need not exist.

    Folders above it may still be links.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path.absolute()


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write over an input, even under another name.

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
    """Create a folder and missing folders above it.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        real_place(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: expected a folder that can be made, got {error.strerror or error}; "
            "choose another place"
        ) from None


def _found(path: Path) -> os.stat_result | None:
    """What is at a path; None if nothing is there or a link is broken."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # the latter of a name with a zero byte
        raise output_error(path, error) from None


def _check_place(place: Path, path: Path) -> None:
    """Refuse a path whose folder cannot be written, or whose name no disk accepts.

    If the folder does not exist, a bad name would otherwise show only after all work is done.
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
    """Refuse a folder in which nothing can be created; its nearest existing parent counts."""
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
