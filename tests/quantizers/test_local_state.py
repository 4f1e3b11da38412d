"""State that each process keeps for itself is no buffer, and yet saved, moved and copied."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vocabula.quantizers import VectorQuantizer
from vocabula.quantizers.local_state import LocalState, local_tensors


class Counter(LocalState):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shared", torch.zeros(2))
        self.keep_local("seen", torch.zeros(3), persistent=True)
        self.keep_local("pending", torch.ones(3), persistent=False)


def test_it_is_no_buffer_but_saved_under_its_name() -> None:
    model = nn.Sequential(Counter())
    assert [name for name, _ in model.named_buffers()] == ["0.shared"]
    assert sorted(model.state_dict()) == ["0.seen", "0.shared"]
    assert sorted(local_tensors(model)) == ["0.pending", "0.seen"]


@pytest.mark.parametrize("assign", [False, True])
def test_loading(assign: bool) -> None:
    model = nn.Sequential(Counter())
    model.load_state_dict({"0.seen": torch.arange(3.0), "0.shared": torch.ones(2)}, assign=assign)
    assert model[0].seen.tolist() == [0, 1, 2]
    assert [name for name, _ in model.named_buffers()] == ["0.shared"]


def test_a_state_that_does_not_fit_is_named() -> None:
    model = nn.Sequential(Counter())
    with pytest.raises(RuntimeError, match=r"0\.seen"):
        model.load_state_dict({"0.shared": torch.ones(2)})
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.seen"):
        model.load_state_dict({"0.seen": torch.ones(4), "0.shared": torch.ones(2)})
    with pytest.raises(RuntimeError, match=r"0\.pending"):
        model.load_state_dict(model.state_dict() | {"0.pending": torch.ones(3)})
    assert sorted(local_tensors(model)) == ["0.pending", "0.seen"]


def test_it_moves_with_the_module() -> None:
    model = nn.Sequential(Counter()).to("meta")
    assert all(t.is_meta for t in local_tensors(model).values())
    model = model.to_empty(device="cpu").double()
    assert all(t.dtype == torch.float64 for t in local_tensors(model).values())


def test_it_follows_data_where_a_wrapper_moved_only_the_buffers() -> None:
    counter = Counter()
    counter.follow(torch.zeros(1, device="meta"))
    assert counter.seen.is_meta


def test_a_copy_has_its_own() -> None:
    counter = Counter()
    twin = copy.deepcopy(counter)
    twin.seen += 1
    assert counter.seen.tolist() == [0, 0, 0]


def test_nothing_that_a_quantizer_counts_is_a_buffer() -> None:
    quantizer = VectorQuantizer(4, 8, auto_update=False)
    quantizer.codebook = torch.randn(8, 4)
    before = {name: t.clone() for name, t in quantizer.named_buffers()}
    for seed in range(3):
        quantizer(torch.randn(32, 4, generator=torch.Generator().manual_seed(seed)))
    assert all(torch.equal(t, before[name]) for name, t in quantizer.named_buffers())
    assert quantizer.pending_counts.sum() == 96
