"""Books agree for any number of processes, also where rows are gathered or drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quantizers import ranks
from quantizers.ranks import Job

DRAWING = ("sampled", "gumbel", "bernoulli", "noise", "diveq")
COMPILED = "drawing"  # all that a graph draws: codes of both kinds, and dropout
TWO = [Job(name, masked=True) for name in ranks.QUANTIZERS if name not in ("shared", COMPILED)]
TWO += [Job(name) for name in ranks.QUANTIZERS if name not in (*DRAWING, COMPILED)]
TWO += [Job("revival", masked=True, weighted=True)]
TWO += [Job(COMPILED, steps=3, masked=True, compiled=True)]
THREE = [
    Job("shared", 2),
    Job("sampled", 2),
    Job("k-means", 1),
    Job("k-means", 1, masked=True),
    Job("revival", masked=True),
]
CASES = [(count, job) for count, jobs in ((2, TWO), (3, THREE)) for job in jobs]

Found = dict[tuple[int, Job], list[dict[str, Tensor]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each rank learned, by number of ranks and job."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    every: Found = {}
    for count, jobs in ((2, TWO), (3, THREE)):
        by_rank = ranks.run(folder, count, jobs)
        every |= {(count, job): [one[i] for one in by_rank] for i, job in enumerate(jobs)}
    return every


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} ranks, {case[1]}")
def test_ranks_learn_the_books_of_one_process(case: tuple[int, Job], found: Found) -> None:
    one = ranks.learned(case[1], eager=True)
    for rank, ours in enumerate(found[case]):
        assert ours.keys() == one.keys()
        for key, value in one.items():
            wanted = value[rank :: case[0]] if key == "values" else value
            what = f"{key}: {{}}".format
            torch.testing.assert_close(ours[key], wanted, rtol=1e-6, atol=1e-5, msg=what)


def test_codewords_die_and_come_back_in_these_batches() -> None:
    """Otherwise the comparison would show nothing of revival."""
    with_it = ranks.learned(Job("revival"))
    torch.manual_seed(0)
    without = ranks.vector(initialization=ranks.Normal(), revival=None)
    for step in range(5):
        without(ranks.batch(step))
    assert ((with_it["book.weight"] - without.codebook).abs().amax(-1) > 1).sum() > 4
