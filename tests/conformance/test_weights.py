"""Weights per vector: 0 leaves a row out, and a whole number repeats it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from conformance.rows import BY_NAME, ROWS, Row, data, prepare, total
from processes import spawn
from vocabula.errors import OptionError, ShapeError
from vocabula.quantizers import EMA, FiniteScalarQuantizer, Normal, VectorQuantizer

FIXED = [row for row in ROWS if not row.random]
by_row = pytest.mark.parametrize("row", FIXED, ids=lambda row: row.name)
COUNTS = torch.arange(60) % 4
"""0, 1, 2, 3, 0, 1, ..."""
TYPICAL = ("vector", "vector, diversity", "lookup free", "residual, beam", "product")


@by_row
def test_whole_numbers_are_repeated_rows(row: Row) -> None:
    weighted, repeated = (prepare(row) for _ in "ab")
    z, x = data(60).requires_grad_(), data(60).requires_grad_()
    torch.manual_seed(1)
    ours = weighted(z, weight=COUNTS)
    torch.manual_seed(1)
    theirs = repeated(x.repeat_interleave(COUNTS, 0))
    assert torch.equal(ours.codes.repeat_interleave(COUNTS, 0), theirs.codes)
    torch.testing.assert_close(ours.loss, theirs.loss)
    for name, term in ours.losses.items():
        torch.testing.assert_close(term, theirs.losses[name])
    total(ours.losses).backward()
    total(theirs.losses).backward()
    if x.grad is not None:
        torch.testing.assert_close(z.grad, x.grad, rtol=1e-4, atol=1e-7)
    for p, q in zip(weighted.parameters(), repeated.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-7)
    state = repeated.state_dict()
    for name, tensor in weighted.state_dict().items():
        # the tracker's norms are of evenly spaced rows, which these are not
        torch.testing.assert_close(tensor, state[name], rtol=1e-4, atol=1e-5, msg=name)


@by_row
def test_zero_is_masked_but_has_its_code(row: Row) -> None:
    weighted, masked = (prepare(row) for _ in "ab")
    z, x = data(60).requires_grad_(), data(60).requires_grad_()
    torch.manual_seed(1)
    ours = weighted(z, weight=(COUNTS > 0).double())
    torch.manual_seed(1)
    theirs = masked(x, COUNTS > 0)
    torch.testing.assert_close(ours.loss, theirs.loss)
    assert torch.equal(ours.codes, prepare(row, training=False)(data(60)).codes)
    total(ours.losses).backward()
    total(theirs.losses).backward()
    if x.grad is not None:
        torch.testing.assert_close(z.grad, x.grad, rtol=1e-4, atol=1e-7)
        assert not z.grad[COUNTS == 0].any()
    state = masked.state_dict()
    for name, tensor in weighted.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-4, atol=1e-5, msg=name)


def test_exactly_by_hand() -> None:
    quantizer = VectorQuantizer(
        1, 2, learning=EMA(decay=0.5, eps=1e-9), initialization=Normal(), revival=None
    )
    quantizer.codebook = torch.tensor([[0.0], [8.0]])
    z = torch.tensor([[2.0], [9.0], [torch.nan], [1.0]])
    result = quantizer(z, torch.tensor([True, True, True, False]), torch.tensor([0.5, 1.5, 3, 7]))
    # (0.5 * 2^2 + 1.5 * 1^2) / 2
    assert result.losses["commitment"].item() == 1.75
    # N = (1 + 0.5) / 2, m = (0 + 0.5 * 2) / 2; N = (1 + 1.5) / 2, m = (8 + 1.5 * 9) / 2
    torch.testing.assert_close(quantizer.codebook, torch.tensor([[0.5 / 0.75], [10.75 / 1.25]]))


def test_scale_does_not_matter_to_a_mean() -> None:
    quantizer = prepare(BY_NAME["vector, diversity"], training=False)
    weight = torch.rand(60, generator=torch.Generator().manual_seed(0))
    one, other = quantizer(data(60), weight=weight), quantizer(data(60), weight=1e-3 * weight)
    torch.testing.assert_close(one.loss, other.loss)


def test_usage_of_fractions_is_right_in_the_mean() -> None:
    quantizer = FiniteScalarQuantizer([3])
    z = torch.tensor([[-3.0], [0.0], [3.0]])
    for _ in range(100):
        quantizer(z, weight=torch.tensor([0.3, 0.0, 0.9]))
    (low, middle, high) = quantizer.usage_tracker.counts.sum(0).tolist()
    assert abs(low - 30) <= 1
    assert middle == 0
    assert abs(high - 90) <= 1
    assert quantizer.usage_report().usage.item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("wrong", [-0.5, torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["vector", "residual", "product", "finite scalar"])
def test_impossible_weights_are_refused(name: str, wrong: float) -> None:
    weight = torch.ones(6, 10)
    weight[3, 2] = wrong
    with pytest.raises(OptionError, match=rf"expected finite numbers from 0, got {wrong}") as error:
        prepare(BY_NAME[name])(data(6, 10), weight=weight)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("weight", [torch.ones(10, 6), torch.ones(()), torch.ones(6, 10).cfloat()])
def test_shapes_that_do_not_fit_are_refused(weight: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"weight: expected real numbers of shape \(6, 10\)"):
        prepare(BY_NAME["vector"])(data(6, 10), weight=weight)


@by_row
def test_nothing_that_counts_gives_zeros(row: Row) -> None:
    quantizer = prepare(row)
    z = data(30).requires_grad_()
    result = quantizer(z, weight=torch.zeros(30))
    assert not any(t.any() for name, t in result.losses.items() if name != "orthogonality")
    (result.loss + result.values.sum()).backward()
    assert z.grad.isfinite().all()
    assert all(t.isfinite().all() for t in quantizer.state_dict().values())


@pytest.mark.parametrize("name", TYPICAL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_in_other_precisions(name: str, dtype: torch.dtype) -> None:
    quantizer, repeated = (prepare(BY_NAME[name]).to(dtype) for _ in "ab")
    z = data(60).to(dtype)
    ours = quantizer(z, weight=COUNTS)
    theirs = repeated(z.repeat_interleave(COUNTS, 0))
    assert ours.loss.dtype == theirs.loss.dtype
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("vector", "lookup free"))
def test_compiles_to_one_graph(name: str) -> None:
    eager, traced = (prepare(BY_NAME[name]) for _ in "ab")
    compiled = torch.compile(traced, fullgraph=True, backend="eager")
    weight = COUNTS.float()
    torch.manual_seed(1)
    expected = eager(data(60), weight=weight)
    torch.manual_seed(1)
    ours = compiled(data(60), weight=weight)
    torch.testing.assert_close(ours.loss, expected.loss)
    for one, other in zip(traced.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    broken = torch.where(weight == 1, torch.nan, weight)
    clean = torch.where(weight == 1, 0.0, weight)
    traced.freeze()
    again, same = compiled(data(60), weight=broken), compiled(data(60), weight=clean)
    assert torch.equal(again.loss, same.loss)


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    part = slice(0, 23) if rank == 0 else slice(23, 60)
    found = {}
    for name in TYPICAL:
        quantizer = torch.load(f"{folder}/{name}.pt", weights_only=False)
        loss = quantizer(data(60)[part], weight=COUNTS[part] / 2).loss.detach()
        dist.all_reduce(loss)
        state = {k: t for k, t in quantizer.state_dict().items() if "usage_tracker" not in k}
        found[name] = (loss / 2, state)
    torch.save(found, f"{folder}/found-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_agree_with_one(tmp_path: Path) -> None:
    for name in TYPICAL:
        quantizer = prepare(BY_NAME[name])
        for module in quantizer.modules():
            if isinstance(module, VectorQuantizer):
                module.revival = None  # which draws in each process
        torch.save(quantizer, tmp_path / f"{name}.pt")
    spawn(work, str(tmp_path), ranks=2)
    for name in TYPICAL:
        quantizer = torch.load(tmp_path / f"{name}.pt", weights_only=False)
        expected = quantizer(data(60), weight=COUNTS / 2).loss.detach()
        for rank in range(2):
            loss, state = torch.load(tmp_path / f"found-{rank}.pt")[name]
            torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
            for key, tensor in state.items():
                own = quantizer.state_dict()[key]
                torch.testing.assert_close(tensor, own, rtol=1e-4, atol=1e-5, msg=f"{name} {key}")
