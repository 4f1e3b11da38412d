"""Names of rows equal Python's own, whichever way they are made."""

from __future__ import annotations

import numpy as np
import pytest

from vocabula.data.row_names import RowNames


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [0],
        [0, 9],
        [9, 10],  # of two lengths
        [10, 57, 99],
        [999_999, 123_456, 100_000],  # out of order
        [2**32 - 1, 10**9],
        [2**32, 2**32 + 1],  # beyond 32 bits
    ],
)
def test_names_are_numbers_in_brackets(rows: list[int]) -> None:
    names = RowNames(np.array(rows, np.int64))
    expected = [f"[{row}]" for row in rows]
    assert names.arrow().to_pylist() == list(names) == expected
    names.arrow().validate(full=True)
