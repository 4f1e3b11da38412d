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
        return pc.binary_join_element_wise("[", pa.array(self._rows).cast(pa.string()), "]", "")
