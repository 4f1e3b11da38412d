"""DistributedDataParallel with its defaults leaves to each process what it has counted."""

from __future__ import annotations

import pytest

from conformance import data_parallel
from conformance.rows import ROWS, Row


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return data_parallel.run(str(tmp_path_factory.mktemp("ranks")))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_wrapping_changes_nothing(row: Row, failed: dict[str, str]) -> None:
    assert row.name not in failed, failed[row.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", data_parallel.BY_HAND)
def test_by_hand(name: str, failed: dict[str, str]) -> None:
    assert name not in failed, failed[name]
