"""Time jitter: who is replaced by whom, and how often."""

from __future__ import annotations

import torch

from vocabula.nn.jitter import TimeJitter


def test_vectors_are_those_of_a_neighbour_as_often_as_asked() -> None:
    torch.manual_seed(0)
    z = torch.arange(20_000.0).expand(2, 3, 20_000)
    moved = TimeJitter(0.12).train()(z) - z
    assert (moved[:, :1] == moved).all()  # the whole vector
    assert set(moved.unique().tolist()) == {-1.0, 0.0, 1.0}
    for step in (-1, 1):
        share = float((moved[:, 0] == step).double().mean())
        assert abs(share - 0.06) < 5 * (0.06 * 0.94 / 40_000) ** 0.5


def test_ends_stay_and_padding_is_not_looked_at() -> None:
    torch.manual_seed(0)
    z = torch.arange(4.0).expand(500, 1, 4)
    mask = torch.tensor([[True, True, False, False]]).expand(500, 4)
    moved = TimeJitter(0.9).train()(z, mask)
    assert moved[mask.unsqueeze(1)].max() == 1 and moved.min() == 0
    alone = TimeJitter(0.9).train()(z[:, :, :1])
    assert torch.equal(alone, z[:, :, :1])


def test_evaluation_and_nothing_change_nothing() -> None:
    z = torch.randn(2, 3, 5)
    assert torch.equal(TimeJitter(0.5).eval()(z), z)
    assert torch.equal(TimeJitter(0.0).train()(z), z)
    assert TimeJitter(0.5).train()(z[:, :, :0]).shape == (2, 3, 0)
