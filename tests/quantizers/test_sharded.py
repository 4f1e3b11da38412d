"""Codebooks in models that DDP replicates and FSDP2 shards learn what one process learns."""

from __future__ import annotations

import pytest
import torch

from quantizers.sharded import BY_HAND, CASES, STEPS, State, learned, run

Found = tuple[list[dict[str, State]], dict[str, str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run(str(tmp_path_factory.mktemp("sharded")))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "auto_update"), sorted({(n, auto) for n, _, auto in CASES}))
def test_processes_learn_what_one_learns(name: str, auto_update: bool, found: Found) -> None:
    ranks, failed = found
    one = learned(name, auto_update)
    assert STEPS > 2  # updates 0, 1 and 2 begin with k-means
    keys = [f"{n}, {how}, {auto}" for n, how, auto in CASES if (n, auto) == (name, auto_update)]
    for key in keys:
        assert key not in failed, failed[key]
        # The first process gathers the whole state; a replicated model is whole on both.
        for ours in [state for rank in ranks if (state := rank[key])]:
            assert ours.keys() == one.keys()
            for entry, value in one.items():
                if "usage_tracker" not in entry:  # which each process keeps for its own vectors
                    what = f"{key}: {entry}: {{}}".format
                    torch.testing.assert_close(ours[entry], value, rtol=1e-4, atol=1e-4, msg=what)


@pytest.mark.slow
@pytest.mark.parametrize("job", [job.__name__ for job in BY_HAND])
def test_by_hand(job: str, found: Found) -> None:
    assert job not in found[1], found[1][job]
