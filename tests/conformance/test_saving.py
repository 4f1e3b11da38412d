"""A saved state, and a copy, go on exactly where the original stood."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from conformance.rows import BY_NAME, ROWS, Row, data, prepare
from vocabula.quantizers import Quantizer

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def step(quantizer: Quantizer, seed: int) -> list[torch.Tensor]:
    """A training step on data and draws of one seed."""
    torch.manual_seed(seed)
    z = data(80, seed=seed).requires_grad_()
    result = quantizer.train()(z)
    quantizer.zero_grad()
    (result.loss + result.values.square().mean()).backward()
    with torch.no_grad():
        for p in quantizer.parameters():
            p -= 0.1 * p.grad
    return [result.values.detach(), result.codes, result.loss.detach(), z.grad]


def future(quantizer: Quantizer) -> list[torch.Tensor]:
    """What the next steps give, past the fit before update 8, and the state after them."""
    found = [t for seed in range(4) for t in step(quantizer, seed)]
    return [*found, *quantizer.state_dict().values()]


@functools.cache
def usual(name: str) -> list[torch.Tensor]:
    """The `future` of a row that was neither saved nor copied."""
    return future(prepare(BY_NAME[name]))


def same(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@by_row
def test_state_dict_round_trip(row: Row) -> None:
    original, loaded = prepare(row), row.make()
    loaded.load_state_dict(original.state_dict(), strict=True)
    z = data(40)
    assert torch.equal(loaded.eval()(z).values, original.eval()(z).values)
    assert torch.equal(loaded.usage_report().perplexity, original.usage_report().perplexity)
    same(future(loaded), usual(row.name))


@by_row
def test_deepcopy(row: Row) -> None:
    original = prepare(row)
    before = {name: t.clone() for name, t in original.state_dict().items()}
    same(future(copy.deepcopy(original)), usual(row.name))
    assert all(torch.equal(t, before[name]) for name, t in original.state_dict().items())


@by_row
def test_the_state_is_plain_tensors_small_enough_to_save(row: Row) -> None:
    state = prepare(row).state_dict()
    assert all(type(t) is torch.Tensor and t.is_contiguous() for t in state.values())
    storages = [t.data_ptr() for t in state.values() if t.numel()]
    assert len(set(storages)) == len(storages)  # nothing is saved twice
    assert not any("pending" in name for name in state)
