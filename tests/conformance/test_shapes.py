"""One result type for any batch shape, wherever the channel is."""

from __future__ import annotations

import pytest
import torch

from conformance.rows import ROWS, D, Row, data, prepare
from vocabula.types import Quantized

FULL = [(), (5,), (2, 3), (2, 3, 2), (2, 2, 1, 3)]
EMPTY = [(0,), (2, 0), (0, 3, 4)]
by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_result(row: Row, training: bool) -> None:
    quantizer = prepare(row, training=training)
    for batch in FULL + EMPTY:
        z = data(*batch).requires_grad_()
        result = quantizer(z)
        assert isinstance(result, Quantized)
        assert result.values.shape == z.shape
        assert result.values.dtype == torch.float32
        assert result.codes.shape == (*batch, *quantizer.code_shape)
        assert result.codes.dtype == torch.int64
        assert not result.codes.requires_grad
        assert result.loss.shape == ()
        for name, term in result.losses.items():
            assert term.shape in {(), (quantizer.books,)}, name
            assert term.isfinite().all(), name
        (result.loss + result.values.sum()).backward()
        assert z.grad.isfinite().all()
        codes = quantizer.encode(z)
        assert codes.shape == result.codes.shape
        assert quantizer.decode(codes).shape == z.shape


@by_row
def test_an_empty_batch_costs_nothing_and_teaches_nothing(row: Row) -> None:
    quantizer = prepare(row)
    before = {name: t.clone() for name, t in quantizer.state_dict().items() if "usage" not in name}
    quantizer.eval()
    losses = [quantizer(data(*batch)) for batch in EMPTY]
    quantizer.train()
    losses += [quantizer(data(*batch)) for batch in EMPTY]
    for result in losses:
        terms = {n: t for n, t in result.losses.items() if n != "orthogonality"}
        assert not any(t.any() for t in terms.values())
    after = quantizer.state_dict()
    clocks = ("fits", "updates")  # which may tick
    assert all(torch.equal(t, after[n]) for n, t in before.items() if not n.endswith(clocks))


@by_row
def test_codes_are_in_range(row: Row) -> None:
    for training in (True, False):
        quantizer = prepare(row, training=training)
        codes = quantizer(100 * data(500)).codes.reshape(500, -1)
        lowest = -1 if "dropout" in row.name and training else 0
        assert codes.min() >= lowest
        assert (codes.amax(0) < torch.tensor(quantizer.codebook_sizes)).all()


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_channel_dim(row: Row, training: bool) -> None:
    last, first = (prepare(row, training=training) for _ in "ab")
    first.channel_dim = 1
    z = data(2, 3, 4)
    gradients, results = [], []
    for quantizer, order in ((last, (0, 1, 2, 3)), (first, (0, 3, 1, 2))):
        torch.manual_seed(1)
        x = z.permute(order).contiguous().requires_grad_()
        result = quantizer(x)
        assert result.values.shape == x.shape
        (result.values.square().sum() + result.loss).backward()
        results.append(result)
        gradients.append(x.grad)
    assert torch.equal(results[0].codes, results[1].codes)
    assert torch.equal(results[0].values, results[1].values.permute(0, 2, 3, 1))
    assert torch.equal(results[0].loss, results[1].loss)
    assert torch.equal(gradients[0], gradients[1].permute(0, 2, 3, 1))
    x = z.permute(0, 3, 1, 2)
    assert torch.equal(first.encode(x), last.encode(z))
    codes = last.encode(z)
    assert torch.equal(first.decode(codes), last.decode(codes).permute(0, 3, 1, 2))


@by_row
def test_views_are_as_good_as_copies(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = data(4, 6)
    assert torch.equal(quantizer.encode(z.transpose(0, 1)), quantizer.encode(z).transpose(0, 1))
    assert z.shape == (4, 6, D)
