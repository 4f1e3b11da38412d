from __future__ import annotations

import math

import pytest
import torch

from vocabula.evaluation.metrics.image import ImageFidelity
from vocabula.training.measures import Meter, book_perplexities


def test_perplexity_of_known_histograms() -> None:
    assert book_perplexities(torch.arange(8), (8,)).item() == pytest.approx(8)
    assert book_perplexities(torch.zeros(5, dtype=torch.int64), (8,)).item() == pytest.approx(1)
    # two books: 4 equally used codes, and one code
    codes = torch.tensor([[0, 7], [1, 7], [2, 7], [3, 7]])
    assert book_perplexities(codes, (4, 8)).mean().item() == pytest.approx(2.5)


def test_perplexity_of_huge_books_and_of_left_out_stages() -> None:
    codes = torch.tensor([0, 2**40, 2**40, 5])
    expected = math.exp(0.5 * math.log(2) + 0.5 * math.log(4))
    assert book_perplexities(codes, (2**41,)).item() == pytest.approx(expected)
    assert book_perplexities(torch.tensor([-1, 0, 1, -1]), (4,)).item() == pytest.approx(2)


def test_psnr_by_hand() -> None:
    assert ImageFidelity.of_error(0.001) == {"psnr": pytest.approx(30)}
    assert ImageFidelity.of_error(0.0) == {"psnr": math.inf}


def test_the_meter_averages_and_survives_a_checkpoint() -> None:
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0)})
    other = Meter()
    other.load_state(meter.state(), torch.device("cpu"))
    other.add({"loss": torch.tensor(2.0)})
    assert other.means() == {"loss": 1.5}
    other.reset()
    assert other.means() == {}
