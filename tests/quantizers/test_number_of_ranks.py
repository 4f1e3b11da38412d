"""Books agree for any number of processes, also where rows are gathered or drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from quantizers import ranks

TWO = [(name, 5, masked) for name in ranks.QUANTIZERS for masked in (False, True)]
THREE = [("k-means", 1, False), ("k-means", 1, True), ("revival", 4, True)]
CASES = [(2, index) for index in range(len(TWO))] + [(3, index) for index in range(len(THREE))]
JOBS = {2: TWO, 3: THREE}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[list[dict[str, Any]]]]:
    folder = str(tmp_path_factory.mktemp("ranks"))
    return {count: ranks.run(folder, count, jobs) for count, jobs in JOBS.items()}


def _name(value: tuple[int, int]) -> str:
    count, index = value
    name, steps, masked = JOBS[count][index]
    return f"{count} ranks, {name}, {steps} steps{', masked' * masked}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_ranks_learn_the_books_of_one_process(case: tuple[int, int], found: Any) -> None:
    count, index = case
    name, steps, masked = JOBS[count][index]
    one = ranks.learned(name, steps, 0, 1, masked=masked)
    for ours in (on_rank[index] for on_rank in found[count]):
        assert ours.keys() == one.keys()
        for key, value in one.items():
            torch.testing.assert_close(
                ours[key], value, rtol=0, atol=1e-5, msg=f"{key}: {{}}".format
            )


def test_codewords_die_and_come_back_in_these_batches() -> None:
    """Otherwise the comparison would show nothing of revival."""
    with_it = ranks.learned("revival", 5, 0, 1, masked=False)
    torch.manual_seed(0)
    without = ranks.vector(initialization=ranks.Normal(), revival=None)
    for step in range(5):
        without(ranks.batch(step))
    assert ((with_it["book.weight"] - without.codebook).abs().amax(-1) > 1).sum() > 4
