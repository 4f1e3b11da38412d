"""Nats per code of a prior whose probabilities are known by hand, and the conditions of batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vocabula.data import read_tokens
from vocabula.data.code_arrays import CodeArrays, read_codes
from vocabula.data.code_batches import train_code_batches
from vocabula.evaluation import code_nats
from vocabula.evaluation.code_nats import count_nats, measure_codes, order0_nats
from vocabula.priors import CodeGrid, Condition, Conditioning, Prior, TextTokenizer
from vocabula.priors.conditioned import CaptionTokens, ConditionedCodes
from vocabula.priors.decoding import Decoding
from vocabula.signals import CodeSpec


class Known(Prior):
    """p(0) = 3/4 for the first book where a class is given, else 1/2; p(0) = 1/4 for the second."""

    def __init__(self) -> None:
        super().__init__(CodeGrid((2, 2), (1, 2)), Conditioning(classes=2))
        self.unused = nn.Parameter(torch.zeros(()))

    def symbol_logits(self, symbols: Tensor, condition: Condition) -> list[Tensor]:
        """Logits of the two books."""
        assert not self.training
        first = torch.where(condition.attributes["class"][:, None, None] >= 0, 0.75, 0.5)
        tables = [first, torch.full_like(first, 0.25)]
        return [torch.stack([p, 1 - p], -1).log().expand(*symbols.shape[:-1], 2) for p in tables]

    def embeddings(self) -> list[list[Tensor]]:
        """There are none."""
        return [[]]

    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> Decoding:
        """Not needed."""
        raise AssertionError

    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """Not needed either."""
        raise AssertionError


def known_codes() -> ConditionedCodes:
    codes = np.zeros((2, 1, 2, 2), np.uint8)
    codes[1, 0, 1] = 1  # of two signals, the last position of the second
    arrays = CodeArrays(
        "made",
        (CodeSpec((2, 2), (2,)),),
        (codes,),
        {"class": np.array([0, 1])},
        np.array([[4, 8], [4, 8]]),
        np.array(["a", "b"], object),
    )
    return ConditionedCodes(arrays, attributes=("class",), channels=3)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_nats_by_hand(batch_size: int) -> None:
    prior = Known().train()
    found = measure_codes(prior, known_codes(), batch_size=batch_size)
    assert prior.training
    first = [-math.log(3 / 4)] * 3 + [-math.log(1 / 4)]
    second = [-math.log(1 / 4)] * 3 + [-math.log(3 / 4)]
    assert found.signals == 2
    assert found.nats_per_token == pytest.approx((sum(first) + sum(second)) / 8)
    assert found.by_book.tolist() == pytest.approx([sum(first) / 4, sum(second) / 4])
    # both books together: the first position holds 0 and 0 twice, the second once, then 1 and 1
    even = -math.log(3 / 4) - math.log(1 / 4)
    assert found.by_position.tolist() == [pytest.approx([even / 2, even / 2])]
    assert found.bits_per_dim == pytest.approx(8 * found.nats_per_token / math.log(2) / (2 * 96))
    withheld = measure_codes(prior, known_codes(), batch_size=batch_size, withheld=True)
    assert withheld.nats_per_token == pytest.approx((4 * math.log(2) + sum(second)) / 8)


def test_counting_is_over_the_books_of_the_level(coded: Callable[..., Any]) -> None:
    arrays = read_codes(read_tokens(coded(300).tokens))
    data = ConditionedCodes(arrays)
    fitted, held_out = data.take(np.arange(200)), data.take(np.arange(200, 300))
    counted = count_nats(fitted, held_out)
    assert counted.uniform == pytest.approx(math.log(16))
    assert counted.order0 == pytest.approx(order0_nats(fitted, held_out))
    assert counted.order0 == pytest.approx(math.log(16), rel=0.01)
    # given the left neighbour, three classes in turn leave three codes of near 0.3 each, and a row
    # begins anywhere
    rest = -3 * (0.3 + 0.1 / 16) * math.log(0.3 + 0.1 / 16) - 13 * 0.1 / 16 * math.log(0.1 / 16)
    assert counted.left == pytest.approx((math.log(16) + 3 * rest) / 4, rel=0.03)
    assert counted.neighbours <= counted.left


def test_huge_data_are_counted_in_part(
    coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ConditionedCodes(read_codes(read_tokens(coded(300).tokens)))
    monkeypatch.setattr(code_nats, "MOST_COUNTED", 16 * 50)
    assert count_nats(data, data).order0 == pytest.approx(math.log(16), rel=0.02)


def test_captions_are_drawn_among_those_of_a_signal() -> None:
    tokenizer = TextTokenizer.train(["one", "two", "three"], size=40)
    captions = CaptionTokens.of([("one", "two"), (), ("three",)], tokenizer, 4)
    drawn = captions.drawn(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0.4, 0.6, 0.9, 0.0, 0.99]))
    assert tokenizer.decode(drawn) == ["one", "two", "", "three", "three"]
    assert drawn[2].tolist() == [0, 0, 0, 0]
    later = captions.take(np.array([2, 0]))
    assert tokenizer.decode(later.drawn(torch.tensor([0, 1]), torch.zeros(2))) == ["three", "one"]


def test_coarser_levels_are_conditions(coded: Callable[..., Any]) -> None:
    arrays = read_codes(read_tokens(coded(6, levels=2).tokens))
    data = ConditionedCodes(arrays, level=1, attributes=("class",))
    codes, condition = data.of(next(train_code_batches(arrays, batch_size=4, seed=0)))
    assert codes.shape == (4, 8, 8)
    assert [upper.shape for upper in condition.upper] == [(4, 4, 4)]
    assert list(condition.attributes) == ["class"] and condition.text is None
    (everything,) = replace(data, attributes=()).batches(10)
    assert not everything[1].attributes
    assert everything[0].equal(arrays.codes(1))
