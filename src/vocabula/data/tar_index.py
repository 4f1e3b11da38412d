"""The members of a tar file, found by its headers alone: names and byte ranges.

Nothing is unpacked: names are texts, never places on the disk, and links are not followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vocabula.errors import DataError, plural
from vocabula.files import check_plain, input_errors

_BLOCK = 512
_END = bytes(_BLOCK)
_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders, pipes
_LONGEST = 2**20  # bytes of a header that carries a long name
EXPECTED = "a tar file"


class MemberError(Exception):
    """A member cannot be read; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in a tar.

    Attributes:
        name: as the tar says it.
        first: number of its first byte in the tar.
        size: its bytes.
    """

    name: str
    first: int
    size: int


def tar_members(path: Path) -> Iterator[Member]:
    """The regular files in a tar, in order; only headers are read.

    The formats are those of POSIX (ustar, pax) and GNU.

    Args:
        path: the tar.

    Raises:
        DataError: it is missing, damaged, cut short or no tar.
    """
    check_plain(path, EXPECTED)
    with input_errors(path), open(path, "rb", buffering=0) as file:
        yield from _Walk(path, file.fileno()).members()


def read_member(path: Path, first: int, size: int) -> bytes:
    """The bytes of a member. Several threads may call it.

    Raises:
        MemberError: the file is gone, or shorter than it was.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            found = os.pread(file.fileno(), size, first)
            while len(found) < size and (more := os.pread(file.fileno(), size, first + len(found))):
                found += more[: size - len(found)]
    except OSError as error:
        raise MemberError(error.strerror or "unreadable") from None
    if len(found) < size:
        raise MemberError("bytes beyond the end of its tar, which has changed")
    return found


class _Walk:
    """From header to header.

    Args:
        path: of the tar, for messages.
        file: number of the open file.
    """

    def __init__(self, path: Path, file: int) -> None:
        self._path, self._file, self._size = path, file, os.fstat(file).st_size
        self._count = 0

    def members(self) -> Iterator[Member]:
        """See `tar_members`."""
        at, long = 0, dict[str, str]()
        while (block := os.pread(self._file, _BLOCK, at)) != _END:
            name, size, kind = self._header(block, at)
            first = at + _BLOCK
            if kind == b"x":
                size = self._checked(first, size)
                long |= self._records(first, size)
            elif kind == b"L":
                size = self._checked(first, size)
                long["path"] = _text(self._text(first, size).split(b"\0", 1)[0])
            elif kind == b"S":
                raise self._damaged("a sparse file in it; write it without --sparse")
            elif kind not in (b"K", b"g"):
                size = 0 if kind in _WITHOUT_DATA else self._checked(first, _size(long, size))
                name = long.get("path", name)
                if kind in _REGULAR and not name.endswith("/") and not _is_sparse(long):
                    yield Member(name, first, size)
                    self._count += 1
                long = {}
            at = first + -(-size // _BLOCK) * _BLOCK

    def _header(self, block: bytes, at: int) -> tuple[str, int, bytes]:
        """Name, size and kind of a header."""
        if len(block) < _BLOCK:
            raise self._cut()
        try:
            wanted = _number(block[148:156])
            if sum(block) - sum(block[148:156]) + 256 != wanted:
                raise ValueError
            size = _number(block[124:136])
        except ValueError:
            got = "a damaged header" if at else "another or a compressed file"
            raise self._damaged(f"{got}; write it again, without compression") from None
        name = block[:100].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and block[345]:
            name = block[345:500].split(b"\0", 1)[0] + b"/" + name
        return _text(name), size, block[156:157]

    def _checked(self, first: int, size: int) -> int:
        """A size that lies within the file."""
        if first + size > self._size:
            raise self._cut()
        return size

    def _text(self, first: int, size: int) -> bytes:
        if size > _LONGEST:
            raise self._damaged("a damaged header; write it again")
        return os.pread(self._file, size, first)

    def _records(self, first: int, size: int) -> dict[str, str]:
        """The records ``LENGTH NAME=VALUE`` of a pax header."""
        text, found, at = self._text(first, size), dict[str, str](), 0
        try:
            while at < len(text) and text[at]:
                length = int(text[at : text.index(b" ", at)])
                record = text[text.index(b" ", at) + 1 : at + length]
                name, value = record.removesuffix(b"\n").split(b"=", 1)
                found[_text(name)] = _text(value)
                at += max(1, length)
            _size(found, 0)
        except ValueError:
            raise self._damaged("a damaged header; write it again") from None
        return found

    def _cut(self) -> DataError:
        return self._damaged(
            f"one that is cut short after {plural(self._count, 'member')}; copy or write it again"
        )

    def _damaged(self, got: str) -> DataError:
        return DataError(f"{self._path}: expected {EXPECTED}, got {got}")


def _number(field: bytes) -> int:
    """A number as octal digits, or for large ones as bytes.

    Raises:
        ValueError: it is none.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    found = int(field.strip(b" \0") or b"0", 8)
    if found < 0:
        raise ValueError
    return found


def _size(records: dict[str, str], stated: int) -> int:
    """The size that a pax header says, or else the plain one.

    Raises:
        ValueError: it is no number of bytes.
    """
    found = int(records.get("size", stated))
    if found < 0:
        raise ValueError
    return found


def _is_sparse(records: dict[str, str]) -> bool:
    return any(name.startswith("GNU.sparse") for name in records)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace").removeprefix("./")
