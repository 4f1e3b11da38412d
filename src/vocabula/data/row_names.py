"""Names of rows that have no key: their numbers in brackets, made when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class RowNames(Sequence[str]):
    """The names ``[0]``, ``[1]``, ... of some rows.

    Args:
        rows: (B,) their numbers.

    Example:
        >>> list(RowNames(np.array([3, 5])))
        ['[3]', '[5]']
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """The number of rows B."""
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> RowNames: ...

    def __getitem__(self, place: int | slice) -> str | RowNames:
        """One name, or the names of some rows."""
        if isinstance(place, slice):
            return RowNames(self._rows[place])
        return f"[{self._rows[place]}]"

    def arrow(self) -> Any:
        """The names as an Arrow array."""
        ends = (int(self._rows.min()), int(self._rows.max())) if len(self) else (0, 10)
        digits = len(str(ends[1]))
        if ends[0] >= 0 and len(str(ends[0])) == digits and ends[1] < 2**32:
            return _of_equal_length(self._rows.astype(np.uint32), digits)
        return pc.binary_join_element_wise("[", pa.array(self._rows).cast(pa.string()), "]", "")


def _of_equal_length(rows: NDArray[np.uint32], digits: int) -> Any:
    """Names of rows whose numbers have so many digits: a tenth of the time of joined texts."""
    texts = np.empty((len(rows), digits + 2), np.uint8)
    texts[:, 0], texts[:, -1] = ord("["), ord("]")
    for place in range(digits, 0, -1):
        left = rows // 10
        texts[:, place] = rows - 10 * left + ord("0")
        rows = left
    ends = np.arange(0, texts.size + 1, digits + 2, dtype=np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(texts))
