"""The pieces of data that lie together: which files, and which rows of them, hold which signals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from vocabula.errors import DataError


class ChangedInputError(DataError):
    """A file is not as it was when the signals were shared out."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring signals of a source that lie in one file.

    Attributes:
        path: the file, or the name of data that are no file.
        first: number of the first of them in the file: the row of a table or of an array.
        count: how many there are.
        size: bytes of the file; -1 of data that are no file.
        modified: when the file was last changed, in nanoseconds; -1 of data that are no file.
    """

    path: str
    first: int
    count: int
    size: int = -1
    modified: int = -1

    @classmethod
    def of(cls, path: str | Path, first: int, count: int) -> Piece:
        """Some signals of a file as it is now."""
        return cls(str(path), first, count, *_state(path))

    def check(self) -> None:
        """Refuse a file that has changed.

        Raises:
            ChangedInputError: it has another size or date, or is gone.
        """
        if self.size < 0:
            return
        size, modified = _state(self.path)
        if (size, modified) == (self.size, self.modified):
            return
        got = "nothing at that place"
        if size >= 0:
            got = f"{size:,} bytes" if size != self.size else "a file written later or earlier"
        raise ChangedInputError(
            f"{self.path}: expected the file of {self.size:,} bytes that the plan names, got "
            f"{got}; bring it back, or encode the data anew to another folder"
        )

    def rows(self, first: int, last: int) -> Piece:
        """The signals from `first` to before `last`, counted within the piece."""
        return replace(self, first=self.first + first, count=last - first)


def files_of(pieces: Sequence[Piece]) -> list[Path]:
    """The files of pieces that follow one another, each once."""
    return [Path(path) for path, _ in groupby(piece.path for piece in pieces)]


def shared_out(pieces: Iterator[Piece], total: int, shards: int) -> Iterator[tuple[int, Piece]]:
    """Pieces with the number of the shard that each belongs to, in order.

    Shard k ends at signal round((k + 1) total / shards), or at the nearest end of a piece if that
    is at most a quarter of a shard away; otherwise a piece is divided.

    Args:
        pieces: all pieces, in order.
        total: signals to share out; further ones are left out.
        shards: in [1, total].

    Example:
        >>> found = shared_out(iter([Piece("a", 0, 5), Piece("b", 0, 5)]), 10, 4)
        >>> [(shard, piece.path, piece.first, piece.count) for shard, piece in found]
        [(0, 'a', 0, 3), (1, 'a', 3, 2), (2, 'b', 0, 3), (3, 'b', 3, 2)]
    """
    room, shard, start = total / (4 * shards), 0, 0
    ends = [((k + 1) * total * 2 + shards) // (2 * shards) for k in range(shards)]
    for piece in pieces:
        at, after = start, min(start + piece.count, total)
        while at < after:
            end = ends[shard]
            snaps = at == start and end < after and end - at <= min(room, after - end)
            if shard + 1 < shards and (end <= at or snaps):
                shard += 1
                continue
            inside = shard + 1 < shards and after - end > room
            cut = end if inside else after
            yield shard, piece.rows(at - start, cut - start)
            at = cut
        start = after


def _state(path: str | Path) -> tuple[int, int]:
    """Size and date of a file; -1 where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def folders_above(root: Path, files: Iterable[Path]) -> set[Path]:
    """The folders of files and those above them, up to and with a root; all absolute."""
    root = root.absolute()
    found = {root}
    for folder in {file.absolute().parent for file in files}:
        while folder not in found and folder.is_relative_to(root):
            found.add(folder)
            folder = folder.parent
    return found
