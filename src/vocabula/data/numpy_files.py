"""Arrays from .npy and .npz files; each header is checked against the file before memory is taken.

Nothing is unpickled. Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import ast
import errno
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vocabula.errors import DataError
from vocabula.files import input_errors, one_line

_MAGIC = b"\x93NUMPY"
_LONGEST = 2**16  # bytes of a header; an array of numbers has about a hundred
_PIECE = 2**24  # bytes read at a time
_SCALAR = re.compile(r"\bnp\.u?int\d*\((\d+)\)|\b(\d+)L\b")
"""Whole numbers as `repr` gave them in NumPy 2 and in Python 2."""
_KIND = re.compile(r"[<>|=]?[?bBhHiIlLqQefdguUSOVcMm]\d*(\[\w+\])?")


class BadArrayError(Exception):
    """A file does not hold an array of numbers; the text says what it holds instead."""


class PythonObjectsError(BadArrayError):
    """An array of Python objects, which would have to be unpickled."""


@dataclass(frozen=True, slots=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Any
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def map_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, memory mapped.

    Raises:
        DataError: the file cannot be read, or holds no array of numbers.
    """
    with _errors(path), path.open("rb") as file:
        header = _read_header(file)
        room = os.fstat(file.fileno()).st_size - header.offset
        _check_room(header, room)
        if not header.nbytes:
            return np.empty(header.shape, header.dtype)
        return np.memmap(file, header.dtype, "r", header.offset, header.shape, header.order)


class NpzFile:
    """The arrays of an .npz file by name, each read whole.

    Args:
        path: the file.

    Attributes:
        names: the names of the members, without ``.npy``.

    Raises:
        DataError: the file cannot be read or is not a zip archive.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _errors(path):
            self._file = path.open("rb")
            try:
                self._archive = zipfile.ZipFile(self._file)
            except BaseException:
                self._file.close()
                raise
        members = self._archive.namelist()
        self._members = {name.removesuffix(".npy"): name for name in members}
        self.names = list(self._members)

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()
        self._file.close()

    def first(self, names: Sequence[str]) -> str | None:
        """The first of some names that an array has; None if none has one."""
        return next((name for name in names if name in self.names), None)

    def choose(self, names: Sequence[str], *, alone: bool = False) -> str:
        """The name of the array that holds the data.

        Args:
            names: its usual names, the preferred one first.
            alone: accept any name of the only array.

        Raises:
            DataError: no array has such a name.
        """
        found = self.names[0] if alone and len(self.names) == 1 else self.first(names)
        if found is None:
            got = ", ".join(self.names[:10]) or "none"
            raise DataError(
                f"{self._path}: expected an array named {', '.join(names)}, got {got}; rename it"
            )
        return found

    def read(self, name: str) -> NDArray[Any]:
        """One array.

        Raises:
            BadArrayError: the member is damaged, encrypted or not an array of numbers or texts.
        """
        with input_errors(self._path), _reasons():
            info = self._archive.getinfo(self._members[name])
            if info.flag_bits & 1:
                raise BadArrayError("an encrypted archive")
            with self._archive.open(info) as file:
                header = _read_header(file)
                _check_room(header, info.file_size - header.offset)
                _check_memory(header)
                return _read_array(file, header)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Failures as one line."""
    try:
        with input_errors(path), _reasons():
            yield
    except BadArrayError as got:
        raise bad_file(path, got) from got


def bad_file(path: Path, got: object) -> DataError:
    """The error for a file that holds no array of numbers."""
    return DataError(
        f"{path}: expected a NumPy array of numbers, got {got};"
        " save it again with numpy.save(path, array)"
    )


@contextmanager
def _reasons() -> Iterator[None]:
    """Failures of the zip and .npy formats in words; zipfile raises many types."""
    try:
        yield
    except (BadArrayError, DataError):
        raise
    except NotImplementedError as error:
        raise BadArrayError(
            f"an archive that is compressed otherwise ('{_line(error)}')"
        ) from error
    except MemoryError as error:
        raise BadArrayError("an array that does not fit into memory") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an offset outside the file is content
            raise  # an error about the file, not about its content
        raise BadArrayError(f"a damaged or foreign file ('{_line(error)}')") from error
    except Exception as error:
        raise BadArrayError(f"a damaged or foreign file ('{_line(error)}')") from error


def _line(error: Exception) -> str:
    return one_line(str(error))[:80] or type(error).__name__


def _read_header(file: IO[bytes]) -> _Header:
    start = file.read(8)
    if start[:6] != _MAGIC or len(start) < 8 or start[6] not in (1, 2, 3):
        raise BadArrayError("a damaged or foreign file (no header of an .npy file)")
    size = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(size), "little")
    if length > _LONGEST:
        raise BadArrayError("a damaged or foreign file (its header is too long)")
    raw = file.read(length)
    if len(raw) < length:
        raise BadArrayError("a damaged or foreign file (its header is cut)")
    text = raw.decode("utf-8" if start[6] == 3 else "latin-1")
    dtype, shape, fortran = _parse(_SCALAR.sub(lambda m: m[1] or m[2], text))
    return _Header(dtype, shape, "F" if fortran else "C", 8 + size + length)


def _parse(text: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape and order of an array from the Python literal in its header."""
    wrong = BadArrayError("a damaged or foreign file (its header cannot be read)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the syntax of a damaged header
        try:
            fields = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise wrong from None
    if not isinstance(fields, dict) or not {"descr", "fortran_order", "shape"} <= fields.keys():
        raise wrong
    shape, kind = fields["shape"], fields["descr"]
    if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
        raise wrong
    if not isinstance(kind, str):
        raise BadArrayError("records of several fields")
    if not _KIND.fullmatch(kind):
        raise wrong
    try:
        dtype = np.dtype(kind)
    except (TypeError, ValueError):
        raise wrong from None
    if dtype.hasobject:
        raise PythonObjectsError("Python objects, which are never loaded")
    if any(not 0 <= side < 2**63 for side in shape) or len(shape) > 32 or dtype.itemsize == 0:
        got = f"shape {shape} of {dtype}"[:100]
        raise BadArrayError(f"a damaged or foreign file ({got})")
    return dtype, shape, bool(fields["fortran_order"])


def _check_room(header: _Header, room: int) -> None:
    if header.nbytes > room:
        raise BadArrayError(
            f"a damaged or cut file (its header says {header.nbytes} bytes, it holds {room})"
        )


def _check_memory(header: _Header) -> None:
    """Refuse early what this machine cannot hold: memory is taken by page and fails too late."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    if header.nbytes > memory:
        raise BadArrayError(
            f"an archive of {header.nbytes / 2**30:.0f} GiB, more than there is memory"
            " (an .npy file is read piece by piece)"
        )


def _read_array(file: IO[bytes], header: _Header) -> NDArray[Any]:
    data = np.empty(header.nbytes, np.uint8)  # pages are taken as they are filled
    filled = 0
    while filled < header.nbytes:
        piece = file.read(min(_PIECE, header.nbytes - filled))
        if not piece:
            raise BadArrayError("a damaged or cut file (its data end too early)")
        data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return data.view(header.dtype).reshape(header.shape, order=header.order)
