"""Rows outside the mask, and rows that are not finite, count for nothing."""

from __future__ import annotations

import pytest
import torch

from conformance.rows import ROWS, Row, data, prepare, total

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
MASK = torch.arange(60).reshape(6, 10) % 3 > 0


@pytest.mark.parametrize(
    ("row", "training"),
    [
        pytest.param(row, training, id=f"{row.name}-{'training' if training else 'evaluation'}")
        for row in ROWS
        for training in (True, False)
        if not (row.random and training)  # draws: see test_a_mask_hides_what_it_covers
    ],
)
def test_losses_are_those_of_the_rows_that_count(row: Row, training: bool) -> None:
    masked, kept = (prepare(row, training=training) for _ in "ab")
    z, x = (t.requires_grad_() for t in (data(6, 10), data(6, 10)[MASK]))
    ours, theirs = masked(z, MASK), kept(x)
    for name, term in ours.losses.items():
        torch.testing.assert_close(term, theirs.losses[name])
    torch.testing.assert_close(ours.loss, theirs.loss)
    assert torch.equal(ours.codes[MASK], theirs.codes)
    total(ours.losses).backward()
    total(theirs.losses).backward()
    if x.grad is not None:
        torch.testing.assert_close(z.grad[MASK], x.grad)
        assert not z.grad[~MASK].any()
    parameters = zip(masked.parameters(), kept.parameters(), strict=True)
    for p, q in parameters:
        torch.testing.assert_close(p.grad, q.grad)


@by_row
@pytest.mark.parametrize("filling", [1e4, torch.nan])
def test_a_mask_hides_what_it_covers(row: Row, filling: float) -> None:
    results = []
    for fill in (-1.0, filling):
        quantizer = prepare(row)
        torch.manual_seed(1)
        z = torch.where(MASK[..., None], data(6, 10), fill).requires_grad_()
        result = quantizer(z, MASK)
        (result.loss + result.values.square().mean()).backward()
        assert z.grad.isfinite().all()
        assert result.values.isfinite().all()
        results.append((result, quantizer.state_dict(), z.grad[MASK]))
    (one, state, gradient), (two, other, again) = results
    assert torch.equal(one.loss, two.loss)
    assert torch.equal(one.codes[MASK], two.codes[MASK])
    assert torch.equal(gradient, again)
    assert all(torch.equal(t, other[name]) for name, t in state.items())


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("reason", ["mask", "nan"])
def test_nothing_that_counts_gives_zeros(row: Row, training: bool, reason: str) -> None:
    quantizer = prepare(row, training=training)
    z = data(30) if reason == "mask" else torch.full((30, 8), torch.nan)
    z.requires_grad_()
    result = quantizer(z, torch.zeros(30).bool() if reason == "mask" else None)
    for name, term in result.losses.items():
        if name != "orthogonality":  # of the codebook alone
            assert not term.any(), name
    (result.loss + result.values.sum()).backward()
    assert z.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in quantizer.parameters())
    assert all(t.isfinite().all() for t in quantizer.state_dict().values())


@by_row
def test_broken_rows_are_as_good_as_masked(row: Row) -> None:
    broken = data(6, 10)
    broken[~MASK] = torch.nan
    broken[0, 0, 3] = torch.inf
    results = []
    for z, mask in ((broken, None), (data(6, 10), MASK)):
        quantizer = prepare(row)
        torch.manual_seed(1)
        results.append((quantizer(z, mask), quantizer.state_dict()))
    torch.testing.assert_close(results[0][0].loss, results[1][0].loss)
    assert torch.equal(results[0][0].codes[MASK], results[1][0].codes[MASK])
    for name, buffer in results[0][1].items():
        torch.testing.assert_close(buffer, results[1][1][name])


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("rows", [0, 30])
def test_a_loss_without_anything_that_counts_has_a_gradient_of_zero(
    row: Row, training: bool, rows: int
) -> None:
    quantizer = prepare(row, training=training)
    z, nothing = data(rows).requires_grad_(), torch.zeros(rows).bool()
    (gradient,) = torch.autograd.grad(quantizer(z, nothing).loss, z)
    assert gradient.shape == z.shape
    assert not gradient.any()
    quantizer(z, nothing).loss.backward()
    assert not z.grad.any()


@by_row
def test_the_loss_alone_has_a_gradient(row: Row) -> None:
    z = data(30).requires_grad_()
    (gradient,) = torch.autograd.grad(prepare(row)(z).loss, z)
    assert gradient.isfinite().all()
