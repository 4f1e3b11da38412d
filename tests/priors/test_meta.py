"""Priors that were built on the meta device, and filled as PyTorch documents it."""

from __future__ import annotations

import pytest
import torch

from priors.builders import MAKERS
from vocabula.priors import CodeGrid


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("how", ["to_empty", "assign"])
def test_a_prior_from_the_meta_device_is_the_same(kind: str, how: str) -> None:
    grid = CodeGrid((7,), (3, 3))
    source = MAKERS[kind](grid).eval()
    with torch.device("meta"):
        prior = MAKERS[kind](grid).eval()
    if how == "assign":
        prior.load_state_dict(source.state_dict(), assign=True)
    else:
        prior.to_empty(device="cpu")
        for tensor in [*prior.parameters(), *prior.buffers()]:  # memory that was used before
            tensor.detach().fill_(77)
        prior.load_state_dict(source.state_dict())
    assert not any(t.is_meta for t in [*prior.parameters(), *prior.buffers()])
    codes = torch.randint(7, (4, 3, 3))
    assert torch.equal(prior(codes), source(codes))
    assert torch.equal(prior.sample((2, 3, 3), seed=0), source.sample((2, 3, 3), seed=0))


@pytest.mark.parametrize("kind", MAKERS)
def test_another_default_dtype_or_device_changes_nothing(kind: str) -> None:
    prior = MAKERS[kind](CodeGrid((7,), (3, 3))).eval()
    expected = prior.sample((2, 3, 3), seed=0)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(prior.sample((2, 3, 3), seed=0), expected)
    finally:
        torch.set_default_dtype(torch.float32)
