from __future__ import annotations

import pytest
import torch
from torch import nn

from vocabula.training.average import WeightAverage


class Scalar(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.register_buffer("count", torch.tensor(0))


def test_the_average_follows_the_recursion_by_hand() -> None:
    model = Scalar(1.0)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(2.0)
    average.update(model, 0)  # d = min(0.5, 1/10): 0.1 * 1 + 0.9 * 2 = 1.9
    assert average.state()["weight"].item() == pytest.approx(1.9)
    average.update(model, 100)  # d = 0.5: (1.9 + 2) / 2 = 1.95
    assert average.state()["weight"].item() == pytest.approx(1.95)


def test_buffers_are_left_as_the_model_has_them() -> None:
    model = Scalar(1.0)
    model.count += 3
    assert set(WeightAverage(model, 0.9).state()) == {"weight"}
