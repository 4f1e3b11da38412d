from __future__ import annotations

import os
import tempfile

import pytest
import torch
import torch.distributed as dist

import vocabula.functional as V
from processes import spawn

Z = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
BOOK = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
MASK = torch.arange(30) % 5 > 0
CUT = 11  # rank 0 holds 11 rows, rank 1 the other 19


def entropies(z: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    binary = V.binary_entropies(
        z.unflatten(-1, (2, 4)), scale=1.0, inverse_temperature=0.5, mask=mask
    )
    soft = V.soft_assignment_entropies(z, BOOK, temperature=2.0, mask=mask)
    return [*(t.sum() for t in binary), *soft, V.masked_mean(z.square(), mask)]


def averaged(outputs: list[torch.Tensor], w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What DistributedDataParallel does to gradients, and here to the values too: the mean."""
    values = torch.stack(outputs)
    (gradient,) = torch.autograd.grad((values * torch.arange(1, 6)).sum(), w)
    ranks = V.world_size()
    return V.all_reduce_sum(values) / ranks, V.all_reduce_sum(gradient) / ranks


def check_rank(rank: int, folder: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    # Everything is built and compiled before the group exists: nothing may be remembered.
    compiled = torch.compile(entropies, fullgraph=True, backend="aot_eager", dynamic=True)
    w = torch.ones(8, requires_grad=True)
    expected = averaged(entropies(Z * w, MASK), w)
    compiled((Z[:CUT] * w), MASK[:CUT])
    assert (V.world_size(), V.rank()) == (1, 0)

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    assert (V.world_size(), V.rank()) == (2, rank)
    mine = slice(0, CUT) if rank == 0 else slice(CUT, 30)
    for function in (entropies, compiled):
        values, gradient = averaged(function(Z[mine] * w, MASK[mine]), w)
        torch.testing.assert_close(values, expected[0])
        torch.testing.assert_close(gradient, expected[1])

    # A rank without a single vector still takes part, and changes nothing.
    rows = Z if rank == 0 else Z[:0]
    mask = MASK if rank == 0 else MASK[:0]
    values, gradient = averaged(entropies(rows * w, mask), w)
    torch.testing.assert_close(values, expected[0])
    torch.testing.assert_close(gradient, expected[1])

    own = torch.tensor([1.0, 2.0]) * (rank + 1)
    assert V.all_reduce_sum(own).tolist() == [3.0, 6.0]
    assert V.broadcast(own).tolist() == [1.0, 2.0]
    assert own.tolist() == [rank + 1.0, 2.0 * (rank + 1)]  # arguments are not changed
    assert torch.equal(V.all_gather_rows(Z[mine]), Z)
    assert torch.equal(V.all_gather_rows(rows), Z)
    dist.destroy_process_group()
    assert V.world_size() == 1


@pytest.mark.slow
def test_two_ranks_agree_with_one_process_on_the_joined_batch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spawn(check_rank, folder)


def test_identity_without_a_group() -> None:
    z = Z.clone().requires_grad_()
    assert V.all_reduce_sum_grad(z) is z
    for function in (V.all_reduce_sum, V.broadcast, V.all_gather_rows):
        assert torch.equal(function(z), z)
        assert not function(z).requires_grad
    assert (V.world_size(), V.rank()) == (1, 0)
