from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.quantizers import (
    EMA,
    Gradient,
    LinearReparametrization,
    Normal,
    Revival,
    VectorQuantizer,
)
from vocabula.quantizers.learning import LearningRule
from vocabula.tokenizers.weights import unique_tensors

RULE = Revival(threshold=0.3, patience=2, decay=0.5)
AVERAGES = EMA()
#: With every vector on codeword 0, the share of the other goes 1, 0.5, 0.25 (low), 0.125 (dead).
STEPS_TO_DEATH = 3


def two_codewords(
    learning: LearningRule = AVERAGES, revival: Revival | None = RULE
) -> VectorQuantizer:
    quantizer = VectorQuantizer(2, 2, learning=learning, initialization=Normal(), revival=revival)
    quantizer.codebook = torch.tensor([[0.0, 0.0], [100.0, 100.0]])
    return quantizer


def near_origin(count: int) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


def steps_until_revived(quantizer: VectorQuantizer, z: Tensor, limit: int = 50) -> int:
    for step in range(1, limit + 1):
        quantizer(z)
        if quantizer.codebook[1].abs().max() < 50:
            return step
    return limit + 1


@pytest.mark.parametrize("count", [4, 40, 4000])
@pytest.mark.parametrize("learning", [EMA(), Gradient(), LinearReparametrization()], ids=repr)
def test_the_threshold_is_relative_to_the_batch(learning: LearningRule, count: int) -> None:
    quantizer, z = two_codewords(learning), near_origin(count)
    assert steps_until_revived(quantizer, z) == STEPS_TO_DEATH
    assert (z == quantizer.codebook[1]).all(-1).any()  # one of the vectors, not a mean or a zero


def test_a_codeword_with_its_share_is_left_alone() -> None:
    quantizer = two_codewords()
    z = torch.cat([near_origin(90), near_origin(10) + 100])  # 0.2 of the fair share is low, so:
    quantizer.revival.rule = Revival(threshold=0.19, patience=2, decay=0.5)
    assert steps_until_revived(quantizer, z, limit=20) == 21


def test_patience_is_counted_in_updates_in_a_row() -> None:
    quantizer, z = two_codewords(), near_origin(40)
    both = torch.cat([z, z + 100])
    for batch in (z, z, both, z, z):  # low once at the second, recovered at the third
        quantizer(batch)
    assert quantizer.codebook[1].min() > 50


def test_a_revived_codeword_starts_over_at_the_threshold() -> None:
    quantizer, z = two_codewords(), near_origin(40)
    steps_until_revived(quantizer, z)
    assert quantizer.book.mass[1].item() == pytest.approx(6.0)  # 0.3 of 40 vectors / 2 codewords
    assert quantizer.revival.share[1].item() == pytest.approx(0.3)
    before = quantizer.codebook.clone()
    quantizer(z)
    assert (quantizer.codebook - before).norm(dim=-1).max() < 5  # no stale sum takes it back


def test_patience_is_longer_where_batches_are_smaller_than_the_book() -> None:
    # 8 codewords and 2 vectors an update: one update of patience is four of these.
    quantizer = VectorQuantizer(
        2, 8, initialization=Normal(), revival=Revival(threshold=0.9, decay=0.5)
    )
    quantizer.codebook = 100 * torch.eye(8)[:, :2] + 1000 * torch.arange(8.0)[:, None]
    before = quantizer.codebook.clone()
    for _ in range(3):
        quantizer(torch.tensor([[100.0, 0.0], [0.0, 0.0]]))
        assert torch.equal(quantizer.codebook[1:], before[1:])
    quantizer(torch.tensor([[100.0, 0.0], [0.0, 0.0]]))
    assert (quantizer.codebook[1:] != before[1:]).any()


def test_no_update_without_vectors() -> None:
    quantizer = two_codewords()
    for _ in range(20):
        quantizer(torch.zeros(0, 2))
        quantizer(near_origin(8), torch.zeros(8).bool())
    assert quantizer.codebook[1].tolist() == [100.0, 100.0]
    assert quantizer.revival.share.tolist() == [1.0, 1.0]


def test_masked_and_broken_vectors_are_never_drawn() -> None:
    quantizer, z = two_codewords(), near_origin(40)
    mask = torch.arange(40) % 2 == 0
    z[1::2] = 1e3
    z[0] = torch.nan
    for _ in range(30):
        quantizer.codebook = torch.tensor([[0.0, 0.0], [100.0, 100.0]])
        quantizer.revival.low_for.fill_(5)
        quantizer.revival.share.copy_(torch.tensor([1.0, 0.0]))
        quantizer(z, mask)
        assert (z[2::2] == quantizer.codebook[1]).all(-1).any()


def test_draws_come_from_the_whole_batch_and_from_every_micro_batch() -> None:
    state = Revival().state(20_000, 1)
    state.observe(torch.arange(10.0)[:, None], torch.ones(10).bool())
    state.observe(10 + torch.arange(30.0)[:, None], torch.ones(30).bool())
    counts = state.drawn.long().flatten().bincount(minlength=40)
    assert counts.shape == (40,)
    assert (counts - 500).abs().max() < 120  # 20,000 / 40, more than five standard deviations


def test_none_never_replaces() -> None:
    quantizer = two_codewords(revival=None)
    assert steps_until_revived(quantizer, near_origin(40)) == 51


def test_evaluation_and_frozen_codebooks_are_left_alone() -> None:
    quantizer, z = two_codewords().eval(), near_origin(40)
    assert steps_until_revived(quantizer, z) == 51
    quantizer = two_codewords().train()
    quantizer.freeze()
    assert steps_until_revived(quantizer, z) == 51


def test_replacements_in_vain_halve_the_way_to_the_vector() -> None:
    state = Revival().state(4, 1)
    state.vain.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    state.observe(torch.full((5, 1), 10.0), None, torch.full((5, 1), 2.0))
    assert state.drawn.flatten().tolist() == [10.0, 6.0, 4.0, 3.0]  # 2 + 8 / 2^n


def test_only_deaths_in_a_row_of_a_settled_book_are_in_vain() -> None:
    quantizer = VectorQuantizer(1, 2, initialization=Normal())
    state, always = quantizer.revival, torch.tensor(True)
    state.share.copy_(torch.tensor([1.0, 0.1]))
    found = []
    for hits, settled in (((8, 0), ~always), ((8, 0), always), ((8, 0), always), ((4, 4), always)):
        state.revive(quantizer.book, torch.tensor(hits), settled)
        found.append(state.vain.tolist())
    assert found == [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]


def test_what_was_in_vain_is_saved_while_it_counts() -> None:
    one, two = two_codewords(), two_codewords()
    names = set(one.state_dict())
    one.revival.vain[1] = 3
    assert set(one.state_dict()) == {*names, "revival.vain"}
    two.load_state_dict(one.state_dict())
    assert two.revival.vain.tolist() == [0.0, 3.0]
    assert "revival.vain" not in unique_tensors(one)
    one.codebook = torch.zeros(2, 2)
    assert set(one.state_dict()) == names
    two.load_state_dict(one.state_dict())
    assert two.revival.vain.tolist() == [0.0, 0.0]
