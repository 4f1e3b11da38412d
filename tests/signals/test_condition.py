"""What is known of signals: every part moves, is cut, joined and withheld alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.errors import DataError
from vocabula.priors import Condition as OfPriors
from vocabula.signals import Condition


def full(first: int = 0) -> Condition:
    """A condition with all parts, of three signals."""
    return Condition(
        {"class": torch.arange(3) + first, "text": torch.arange(3) + 5 + first},
        torch.tensor([[1, 2], [3, 0], [0, 0]]) + first,
        torch.arange(6.0).reshape(3, 2) + first,
        (torch.arange(3).reshape(3, 1) + first, torch.arange(12).reshape(3, 2, 2) + first),
    )


def tensors(condition: Condition) -> list[Tensor]:
    return [part for _, part in condition.parts()]


def test_it_is_the_condition_of_priors_too() -> None:
    assert OfPriors is Condition


def test_every_part_has_a_name() -> None:
    names = [name for name, _ in full().parts()]
    assert names == ["class", "text", "text", "vectors", "upper[0]", "upper[1]"]
    assert list(Condition().parts()) == [] and not Condition().given
    assert not Condition(upper=full().upper).given
    for part in (Condition(text=full().text), Condition(vectors=full().vectors)):
        assert part.given
    assert Condition.of_class(torch.arange(3)).given


def test_rows_and_devices_concern_every_part() -> None:
    for part, whole in zip(tensors(full().rows(slice(1, 3))), tensors(full()), strict=True):
        assert torch.equal(part, whole[1:])
    assert {part.device.type for part in tensors(full().to("meta"))} == {"meta"}
    assert tensors(Condition().rows(slice(1))) == []


def test_two_batches_are_joined_by_name() -> None:
    other = full(1)
    turned = Condition(
        dict(reversed(other.attributes.items())), other.text, other.vectors, other.upper
    )
    joined = full().beside(turned)
    for part, one, two in zip(tensors(joined), tensors(full()), tensors(other), strict=True):
        assert torch.equal(part, torch.cat([one, two]))


def test_all_but_coarser_codes_is_withheld() -> None:
    some = full().without(torch.tensor([True, False, False]))
    assert some.attributes["class"].tolist() == [-1, 1, 2]
    assert some.attributes["text"].tolist() == [-1, 6, 7]
    assert some.text is not None and some.text.tolist() == [[0, 0], [3, 0], [0, 0]]
    assert some.vectors is not None and some.vectors.isnan().all(1).tolist() == [True, False, False]
    everything = full().without()
    assert everything.attributes["class"].tolist() == [-1] * 3
    assert everything.text is not None and not everything.text.any()
    assert everything.vectors is not None and everything.vectors.isnan().all()
    for kept in (some, everything):
        assert all(torch.equal(a, b) for a, b in zip(kept.upper, full().upper, strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (full(), "condition.class: expected 2, one per signal, got 3; repeat or cut them"),
        (Condition(vectors=torch.zeros(1, 2)), r"condition\.vectors: expected 2.*got 1"),
        (Condition(upper=(torch.zeros(2), torch.zeros(3))), r"upper\[1\]: expected 2.*got 3"),
        (Condition.of_class(torch.tensor(1)), "expected 2, one per signal, got a single number"),
    ],
)
def test_another_number_of_signals_is_refused(wrong: Condition, message: str) -> None:
    with pytest.raises(DataError, match=message):
        wrong.check_batch(2)
    full().check_batch(3)
