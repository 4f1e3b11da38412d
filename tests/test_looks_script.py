"""What benchmarks/looks.py measures: the grid of a stride, in dB."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("looks")


@pytest.mark.parametrize("height", [0.0, 0.5, 1.0])
def test_the_grid_of_dots_in_noise_stands_out_as_far_as_counted_by_hand(
    looks: ModuleType, height: float
) -> None:
    """One dot in every 4 x 4 pixels, in noise of variance 1, blocks of 64 x 64.

    A dot has the amplitude h / 16 at each of the 15 frequencies. Of a Hann window the values sum
    to 32 along an axis and their squares to 24: a peak has 1024^2 h^2 / 256 = 4096 h^2 and the
    noise 576. Beside a peak is a quarter of it: the mean of 3 x 3 bins is 1.5^2 / 9 = 1/4 of it.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 512, 512, generator=generator)
    x[..., 1::4, 2::4] += height
    expected = 10 * math.log10(1 + 1024 * height**2 / 576)
    assert looks.grid(x, 4) == pytest.approx(expected, abs=0.1)
    assert looks.grid(x, 3) < 0.1  # nothing stands out at another stride


def test_the_energy_of_a_ramp_is_that_of_its_steps(looks: ModuleType) -> None:
    ramp = torch.arange(8.0).mul(0.5).expand(1, 3, 6, 8)
    assert looks.energy(ramp) == pytest.approx(0.25)
