"""Two processes in a group agree with one process on the joined batch."""

from __future__ import annotations

import pytest

from conformance import ranks
from conformance.rows import ROWS, Row


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = ranks.run(str(tmp_path_factory.mktemp("ranks")))
    return {name: text for on_rank in found for name, text in on_rank.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", ranks.cases())
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_two_ranks_agree_with_one_process(row: Row, case: str, failed: dict[str, str]) -> None:
    name = f"{row.name}: {case}"
    assert name not in failed, failed[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ranks.OTHERS)
def test_ranks_stay_together(name: str, failed: dict[str, str]) -> None:
    assert name not in failed, failed[name]
