"""Counts of codes over a data set."""

from __future__ import annotations

import pytest
import torch

from vocabula.evaluation import histogram as module
from vocabula.evaluation.histogram import CodeHistogram, books_of


@pytest.fixture(params=["dense", "sparse"])
def histogram(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CodeHistogram:
    """The same counts kept in an array and by distinct codes."""
    if request.param == "sparse":
        monkeypatch.setattr(module, "DENSE_LIMIT", 0)
    counted = CodeHistogram(8)
    counted.add(torch.tensor([[3, 3], [5, 0]]))
    counted.add(torch.tensor([3, 5, -1]))  # -1 marks a stage that was left out
    return counted


def test_counts(histogram: CodeHistogram) -> None:
    codes, counts = histogram.ranked()
    assert (codes.tolist(), counts.tolist()) == ([3, 5, 0], [3, 2, 1])
    assert (histogram.total, histogram.used, histogram.usage) == (6, 3, 3 / 8)
    assert histogram.largest_share == 0.5


def test_perplexity_by_hand(histogram: CodeHistogram) -> None:
    # prod p^-p with p = 1/2, 1/3, 1/6
    assert histogram.perplexity == pytest.approx(2**0.5 * 3 ** (1 / 3) * 6 ** (1 / 6))


def test_uniform_codes_have_the_perplexity_of_the_book() -> None:
    counted = CodeHistogram(2**18)
    counted.add(torch.arange(2**18))
    assert counted.perplexity == pytest.approx(2**18)
    assert counted.usage == 1.0


def test_nothing_counted() -> None:
    empty = CodeHistogram(4)
    assert (empty.perplexity, empty.usage, empty.largest_share) == (1.0, 0.0, 0.0)


def test_equal_counts_are_ranked_by_code() -> None:
    counted = CodeHistogram(6)
    counted.add(torch.tensor([4, 1, 5]))
    assert counted.ranked()[0].tolist() == [1, 4, 5]


def test_books_of_codes() -> None:
    codes = torch.arange(12).reshape(1, 2, 3, 2)
    assert [b.tolist() for b in books_of(codes, 2)] == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    assert len(books_of(codes, 1)) == 1
    assert books_of(torch.empty(2, 2, 0), 0) == []
