"""From logits to draws: distributions worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.drawing import Drawing, guide

LOGITS = torch.tensor([0.15, 0.5, 0.05, 0.3], dtype=torch.float64).log() + 7


def chances(**options: Any) -> list[float]:
    return Drawing(**options).log_probs(LOGITS).exp().tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.15, 0.5, 0.05, 0.3]),
        # squares: 0.0225, 0.25, 0.0025, 0.09, of sum 0.365
        ({"temperature": 0.5}, [0.0225 / 0.365, 0.25 / 0.365, 0.0025 / 0.365, 0.09 / 0.365]),
        ({"top_k": 2}, [0, 0.625, 0, 0.375]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_k": 9}, [0.15, 0.5, 0.05, 0.3]),
        ({"top_p": 0.3}, [0, 1, 0, 0]),
        ({"top_p": 0.51}, [0, 0.625, 0, 0.375]),
        ({"top_p": 0.79}, [0, 0.625, 0, 0.375]),
        ({"top_p": 0.81}, [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
        ({"top_p": 1.0}, [0.15, 0.5, 0.05, 0.3]),
        # of three kept by top_k the shares are 0.158, 0.526, 0.316: two reach 0.83
        ({"top_k": 3, "top_p": 0.83}, [0, 0.625, 0, 0.375]),
        # at temperature 0.5 the shares are 0.685, 0.247, ...: the first alone reaches 0.6
        ({"temperature": 0.5, "top_p": 0.6}, [0, 1, 0, 0]),
    ],
)
def test_distributions(options: dict[str, Any], expected: list[float]) -> None:
    assert chances(**options) == pytest.approx(expected, abs=1e-12)


def test_of_equals_the_first_stay() -> None:
    equal = Drawing(top_k=2).log_probs(torch.zeros(5, dtype=torch.float64)).exp()
    assert equal.tolist() == [0.5, 0.5, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 5e-324, 1e308])
def test_extreme_temperatures(temperature: float, dtype: torch.dtype) -> None:
    """The limits are the most probable value, and all values alike."""
    drawing, logits = Drawing(temperature=temperature), LOGITS.to(dtype)
    expected = [0.25] * 4 if temperature > 1 else [0, 1, 0, 0]
    assert drawing.log_probs(logits).exp().tolist() == pytest.approx(expected)
    numbers = torch.tensor([0.0, 0.3, 0.6, 0.9])
    drawn = drawing.draw(logits.expand(4, -1), numbers).tolist()
    assert drawn == ([0, 1, 2, 3] if temperature > 1 else [1] * 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("guidance", [1e30, 1e39, 1e308])
def test_extreme_guidance_takes_what_the_condition_favours_most(
    guidance: float, dtype: torch.dtype
) -> None:
    conditional = torch.tensor([[0.2, 0.5, 0.3]], dtype=dtype).log()
    unconditional = torch.tensor([[0.1, 0.4, 0.5]], dtype=dtype).log()
    guided = guide(conditional, unconditional, guidance)  # ratios 2, 1.25 and 0.6
    assert Drawing().log_probs(guided).exp().tolist() == [[1, 0, 0]]


def test_more_values_than_any_book_has() -> None:
    assert chances(top_k=10**30) == pytest.approx([0.15, 0.5, 0.05, 0.3])


def test_draws_follow_the_cumulative_distribution() -> None:
    numbers = torch.tensor([0.0, 0.149, 0.151, 0.649, 0.651, 0.699, 0.701, 1 - 2**-53])
    drawn = Drawing().draw(LOGITS.expand(8, -1), numbers)
    assert drawn.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_has_no_probability_is_never_drawn() -> None:
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 0.0, -math.inf])
    numbers = torch.tensor([0.0, 0.49, 0.51, 1.0], dtype=torch.float64)
    assert Drawing().draw(logits.expand(4, -1), numbers).tolist() == [1, 1, 3, 3]


def test_guidance_weighs_by_powers() -> None:
    """p(v | c)^g p(v)^(1 - g), by hand for g = 3: (8/27, 1/27) / (1/4, 1/4)."""
    conditional = torch.tensor([2 / 3, 1 / 3], dtype=torch.float64).log() + 5
    unconditional = torch.tensor([0.5, 0.5], dtype=torch.float64).log() - 2

    def guided(g: float) -> Tensor:
        return guide(conditional, unconditional, g).softmax(-1)

    assert guided(3.0).tolist() == pytest.approx([8 / 9, 1 / 9])
    assert guided(1.0).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert guided(0.0).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "sample.temperature: expected a number > 0, got 0.0; .* top_k=1"),
        ({"temperature": math.nan}, "sample.temperature: .* got nan"),
        ({"top_k": 0}, "sample.top_k: expected a whole number >= 1 or none, got 0"),
        ({"top_k": 1.5}, "sample.top_k: .* got 1.5"),
        ({"top_p": 0.0}, r"sample.top_p: expected a number in \(0, 1\] or none, got 0.0"),
        ({"top_p": 1.1}, "got 1.1"),
        ({"guidance": -1.0}, "sample.guidance: expected a number >= 0, got -1.0"),
        ({"guidance": math.inf}, "got inf"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Drawing(**options)
