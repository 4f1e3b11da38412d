from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from conformance.memory import largest_allocation
from vocabula.errors import OptionError, ShapeError
from vocabula.functional import index_backpropagation as look_up
from vocabula.functional import nearest_codeword

DISTANCES = ["euclidean", "cosine"]


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors (9, 4), a codebook (6, 4) and an upstream gradient (9, 4)."""
    generator = torch.Generator().manual_seed(0)
    z, upstream = torch.randn(2, 9, 4, generator=generator, dtype=torch.float64)
    return z.to(dtype), torch.randn(6, 4, generator=generator).to(dtype), upstream.to(dtype)


def scores(z: Tensor, book: Tensor, distance: str) -> Tensor:
    """What the softmax is taken of: minus half the squared distance, or the product."""
    if distance == "cosine":
        return z @ book.T
    return -(z[:, None] - book).square().sum(-1) / 2


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_gradients_are_finite_differences(distance: str, temperature: float) -> None:
    z, book, upstream = example()
    codes = scores(z, book, distance).argmax(-1)
    hard = torch.eye(6).double()[codes]
    now = (scores(z, book, distance) / temperature).softmax(-1)

    def objective(z: Tensor, book: Tensor) -> Tensor:
        soft = (scores(z, book, distance) / temperature).softmax(-1)
        return ((hard - now + soft) @ book * upstream).sum()

    x, e = z.clone().requires_grad_(), book.clone().requires_grad_()
    result = look_up(x, e, codes, temperature=temperature, distance=distance)
    assert torch.equal(result, book[codes])
    result.backward(upstream)
    assert (e.grad.norm(dim=-1) > 0).all()  # every codeword learns
    for ours, first in ((x.grad, True), (e.grad, False)):
        for place in range(ours.numel()):
            step = torch.zeros(ours.numel()).double()
            step[place] = 1e-6
            step = step.reshape(ours.shape)
            ahead, behind = (
                objective(*((z + s, book) if first else (z, book + s))) for s in (step, -step)
            )
            expected = (ahead - behind).item() / 2e-6
            assert ours.reshape(-1)[place].item() == pytest.approx(expected, abs=1e-7)


def test_beside_the_published_code() -> None:
    """The straight-through one-hot of the paper, as its code writes it."""
    z, book, upstream = example(torch.float32)
    x, e = z.clone().requires_grad_(), book.clone().requires_grad_()
    soft = (x @ e.T).softmax(1)
    codes = soft.argmax(1)
    hard = torch.zeros_like(soft).scatter_(1, codes[:, None], 1.0)
    theirs = (hard - soft.detach() + soft) @ e
    expected = torch.autograd.grad(theirs, (x, e), upstream)
    ours = look_up(x, e, codes, distance="cosine")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, (x, e), upstream), expected)


@pytest.mark.parametrize("distance", DISTANCES)
def test_blocks_give_what_all_rows_give(distance: str, monkeypatch) -> None:
    module = sys.modules[look_up.__module__]
    z, book, upstream = example()
    codes = nearest_codeword(z, book)
    found = []
    for rows in (100, 2):
        monkeypatch.setattr(module, "rows_per_block", lambda *_, rows=rows: rows)
        x, e = z.clone().requires_grad_(), book.clone().requires_grad_()
        look_up(x, e, codes, distance=distance).backward(upstream)
        found.append((x.grad, e.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_memory_does_not_hold_a_score_for_every_pair() -> None:
    z, book = torch.randn(2048, 4, requires_grad=True), torch.randn(8192, 4, requires_grad=True)
    result = look_up(z, book, torch.zeros(2048, dtype=torch.int64))
    taken = largest_allocation(lambda: result.sum().backward())
    assert taken <= 4 * 2**20 < 4 * 2048 * 8192 / 10


def test_second_derivatives_are_those_of_torch_operations() -> None:
    z, book, upstream = example()
    codes = nearest_codeword(z, book)

    def total(x: Tensor) -> Tensor:
        return (look_up(x, book, codes).square() * upstream).sum()

    x = z.clone().requires_grad_()
    (first,) = torch.autograd.grad(total(x), x, create_graph=True)
    (ours,) = torch.autograd.grad((first * upstream).sum(), x)
    expected = torch.func.grad(lambda y: (torch.func.grad(total)(y) * upstream).sum())(z)
    torch.testing.assert_close(ours, expected)


def test_errors() -> None:
    z, book, _ = example()
    codes = nearest_codeword(z, book)
    with pytest.raises(OptionError, match="temperature: expected a number > 0, got 0"):
        look_up(z, book, codes, temperature=0.0)
    with pytest.raises(OptionError, match="expected 'euclidean' or 'cosine'"):
        look_up(z, book, codes, distance="dot")
    with pytest.raises(ShapeError, match="flatten the batch"):
        look_up(z, book, codes[:3])
    with pytest.raises(ShapeError, match="project to the codebook's width"):
        look_up(z[:, :2], book, codes)
