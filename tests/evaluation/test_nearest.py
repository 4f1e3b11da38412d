from __future__ import annotations

import math

import pytest
import torch

from vocabula.evaluation import nearest
from vocabula.evaluation.nearest import nearest_by_codes, nearest_by_values


@pytest.mark.parametrize("at_once", [1, 2**24])
def test_the_fewest_different_codes_over_all_levels(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "NEAREST_VALUES", at_once)
    coarse, fine = torch.tensor([[1], [2], [3]]), torch.tensor([[[4, 4]], [[5, 5]], [[6, 6]]])
    samples = [torch.tensor([[2], [9]]), torch.tensor([[[5, 5]], [[6, 0]]])]
    held_out = [coarse[2:], fine[2:]]
    for size in (1, 2, 3):
        parts = zip(coarse.split(size), fine.split(size), strict=True)
        found, other = nearest_by_codes([samples, held_out], parts)
        assert found.indices.tolist() == [1, 2]
        assert found.distances.tolist() == pytest.approx([0, 2 / 3])
        assert (other.indices.tolist(), other.distances.tolist()) == ([2], [0])


@pytest.mark.parametrize("at_once", [1, 2**24])
def test_the_smallest_root_mean_square_error(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "NEAREST_VALUES", at_once)
    others = torch.stack([torch.full((1, 2, 2), value) for value in (0.0, 0.5, 1.0)])
    image = torch.tensor([[[[0.5, 0.5], [0.5, 0.7]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    found = nearest_by_values(image, others)
    assert found.indices.tolist() == [1, 2]
    assert found.distances.tolist() == pytest.approx([math.sqrt(0.04 / 4), 0.0], abs=1e-6)
    # nearly a copy is told from a copy, also where images are large
    large = torch.rand(1, 3, 64, 64)
    near = large.clone()
    near[0, 0, 0, 0] += 1e-3
    assert nearest_by_values(near, torch.cat([near, large])).indices.tolist() == [0]
    assert nearest_by_values(near, large).distances.item() == pytest.approx(
        1e-3 / math.sqrt(3 * 64 * 64), rel=1e-3
    )


def test_of_equally_near_signals_the_first_counts() -> None:
    parts = [[torch.tensor([[7, 8], [1, 9]])], [torch.tensor([[1, 9], [1, 2]])]]
    [found] = nearest_by_codes([[torch.tensor([[1, 4], [1, 2]])]], parts)
    assert found.indices.tolist() == [1, 3]
    assert found.distances.tolist() == [0.5, 0]


def test_signals_of_different_lengths() -> None:
    """Shares and errors are those of the longer signal of a pair, by hand."""
    samples = [torch.tensor([[1, 2, -1, -1], [5, 5, 5, 5]])]
    training = [torch.tensor([[1, 2, 3, -1, -1], [1, 9, -1, -1, -1], [5, 5, 5, 5, 6]])]
    [found] = nearest_by_codes([samples], [training])
    assert found.indices.tolist() == [0, 2]
    assert found.distances.tolist() == pytest.approx([1 / 3, 1 / 5])
    waves = [torch.tensor([[3.0, 4.0]])]
    others = [torch.tensor([[3.0]]), torch.tensor([[3.0, 0.0, 0.0, 3.0]])]
    near = nearest_by_values(waves, others)
    assert near.indices.tolist() == [1]  # (16 + 9) / 4 < 16 / 2
    assert near.distances.item() == pytest.approx((25 / 4) ** 0.5)
