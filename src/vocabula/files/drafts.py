"""Files and folders that are complete or absent: written aside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from vocabula.files.failures import output_errors
from vocabula.files.hidden import hidden_folder, hidden_name
from vocabula.files.places import check_new_file, check_new_folder, make_folder, real_place
from vocabula.files.streams import is_stream, send


class Draft:
    """A file that is written under a hidden name in the same folder, and renamed when complete.

    A symbolic link is followed: the file that it leads to is written. A device or a pipe cannot be
    replaced, so it receives the content when it is complete.

    Args:
        path: the file; its folder is created if needed.
        overwrite: replace an existing file.

    Attributes:
        hidden: where to write.

    Raises:
        OutputError: see `check_new_file`; or its folder cannot be made.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        check_new_file(path, overwrite=overwrite)
        self._path = path
        self._overwrite = overwrite
        self._renamed = False
        self._sent = is_stream(path)
        if self._sent:
            self.hidden = Path(tempfile.mkdtemp(prefix="vocabula-")) / "output"
            return
        self._place = real_place(path)
        make_folder(self._place.parent)
        self.hidden = hidden_name(self._place)

    def publish(self) -> None:
        """Put the complete file into its place after it has reached the disk.

        Raises:
            OutputError: something has come to exist there meanwhile.
            OSError: the disk refuses.
        """
        if not self._sent:
            with open(self.hidden, "rb+") as file:
                os.fsync(file.fileno())
        self.rename()
        if not self._sent:
            sync_folder(self._place.parent)

    def rename(self) -> None:
        """Put a file that is on the disk into its place; `sync_folder` makes the name durable.

        Raises:
            OutputError: something has come to exist there meanwhile.
            OSError: the disk refuses.
        """
        if self._sent:
            send(self.hidden, self._path)
            return
        if not self._overwrite:
            check_new_file(self._path, overwrite=False)
        os.replace(self.hidden, self._place)
        self._renamed = True

    def discard(self) -> None:
        """Remove the hidden file; nothing happens after `publish`."""
        if self._sent:
            shutil.rmtree(self.hidden.parent, ignore_errors=True)
        elif not self._renamed:
            with contextlib.suppress(OSError):
                self.hidden.unlink()


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden path; its file moves to `path` when the block ends without an error.

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
    """Write small files, each complete or absent; their folder is synced only once.

    If one fails, the files before it stay.

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
    """Write or replace a file; at every moment either the old or the new content exists."""
    with new_file(path, overwrite=True) as hidden:
        hidden.write_bytes(content)


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file in place, from one or several pieces, and wait until it is on the disk."""
    with open(path, "wb") as file:
        for piece in content:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False, last: str = "") -> Iterator[Path]:
    """A hidden folder; its files move into `path` when the block ends without an error.

    It lies beside `path`, or inside it if it exists, so that both are on one disk. With
    `overwrite`, files of the same name are replaced; all others in `path` stay.

    Args:
        path: the folder.
        overwrite: whether it may hold something.
        last: name of the file that moves last, as a sign that the others are complete.

    Raises:
        OutputError: see `check_new_folder`; or its parent cannot be made; or a file has come to
            exist in it meanwhile, or stands where a folder must be.
    """
    check_new_folder(path, overwrite=overwrite)
    place = real_place(path)
    make_folder(place.parent)
    with hidden_folder(place / (place.name or "root") if place.is_dir() else place) as hidden:
        yield hidden
        check_new_folder(path, overwrite=overwrite)
        if place.exists():
            _move_into(hidden, place, last)
        else:
            os.replace(hidden, place)
        sync_folder(place.parent)


def replace_folder(hidden: Path, path: Path) -> None:
    """Rename a complete folder to `path`; an existing folder is moved aside and removed."""
    if path.exists():
        remove_folder(path)
    os.replace(hidden, path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder after hiding it, so that a half-removed folder is never visible."""
    hidden = hidden_name(path)
    os.replace(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system offers this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move_into(source: Path, target: Path, last: str) -> None:
    files = [path for path in source.rglob("*") if not path.is_dir()]
    places = {file: target / file.relative_to(source) for file in files}
    for place in places.values():
        check_new_file(place, overwrite=True)  # all of them, before the first moves
    for file in sorted(files, key=lambda path: (path.name == last, path)):
        make_folder(places[file].parent)
        _move(file, places[file])


def _move(file: Path, place: Path) -> None:
    """Move a complete file to its place, following links, also between disks."""
    if is_stream(place):
        send(file, place)
        return
    try:
        os.replace(file, real_place(place))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_file(place, overwrite=True) as hidden:
            shutil.copyfile(file, hidden)
