"""A short hash of what files and arrays hold: a copy elsewhere has the same hash.

It covers all sizes and a bounded sample of the contents, so that terabytes are told apart in a
second. A change of the same length that falls between the samples is not seen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 2048  # files, or parts of an array, whose content counts
_BYTES = 2**24  # of all samples together
_LEAST = 2**12  # bytes of one sample


def content_of_files(files: Sequence[Path]) -> str:
    """Hash of the contents of files, in order; their names do not count.

    Raises:
        OSError: a file cannot be read.
    """
    total = hashlib.sha256()
    for file in files:
        total.update(os.stat(file).st_size.to_bytes(8, "little"))
    room = max(_LEAST, _BYTES // max(1, len(files)))
    for place in _spread(len(files), _SAMPLES):
        total.update(_sample(files[place], room))
    return total.hexdigest()[:16]


def content_of_array(array: NDArray[Any]) -> str:
    """Hash of type, shape and values of an array of several items."""
    total = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    each = max(1, array.nbytes // max(1, len(array)))
    for place in _spread(len(array), max(1, min(_BYTES // each, len(array)))):
        total.update(np.ascontiguousarray(array[place]).tobytes())
    return total.hexdigest()[:16]


def content_of_items(length: int, items: Iterable[NDArray[Any]]) -> str:
    """Hash of some items of a sequence and of its length."""
    total = hashlib.sha256(str(length).encode())
    for item in items:
        total.update(f"{item.dtype.str}{item.shape}".encode())
        total.update(np.ascontiguousarray(item).tobytes())
    return total.hexdigest()[:16]


def _spread(length: int, most: int) -> list[int]:
    """Indices of items spread evenly over a sequence, including the first and last."""
    if length <= most:
        return list(range(length))
    return [int(place) for place in np.linspace(0, length - 1, most).round()]


def _sample(path: Path, room: int) -> bytes:
    """A whole file, or the pieces at its beginning, middle and end if it exceeds `room`."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= room:
            return file.read(room)
        pieces = []
        for start in (0, (size - room // 3) // 2, size - room // 3):
            file.seek(start)
            pieces.append(file.read(room // 3))
    return b"".join(pieces)
