"""The players' losses by hand arithmetic, the balance, the guard and the watch."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from vocabula.nn.discriminators import Judgement
from vocabula.training.looks.balance import Balance
from vocabula.training.looks.guard import Guard, PlayersWatch
from vocabula.training.looks.losses import (
    ASLEEP,
    discriminator_loss,
    generator_loss,
    lecam,
    logit_figures,
)


def judged(*logits: float, inside: list[bool] | None = None) -> Judgement:
    mask = None if inside is None else torch.tensor([[inside]])
    return Judgement(torch.tensor([[list(logits)]]), (), mask)


REAL, FAKE = judged(2.0, 0.5), judged(-0.5, 1.0)


def test_hinge_by_hand() -> None:
    # real: 0 and 0.5; fake: 0.5 and 2
    assert float(discriminator_loss("hinge", [REAL], [FAKE])) == pytest.approx(0.25 + 1.25)
    assert float(generator_loss("hinge", [FAKE])) == pytest.approx(-0.25)


def test_non_saturating_by_hand() -> None:
    real = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-0.5))) / 2
    fake = (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(1))) / 2
    found = float(discriminator_loss("non_saturating", [REAL], [FAKE]))
    assert found == pytest.approx(real + fake)
    wanted = (math.log1p(math.exp(0.5)) + math.log1p(math.exp(-1))) / 2
    assert float(generator_loss("non_saturating", [FAKE])) == pytest.approx(wanted)


def test_lecam_by_hand() -> None:
    # averages 0.6 of signals and 0.25 of reconstructions
    real = ((2 - 0.25) ** 2 + (0.5 - 0.25) ** 2) / 2
    fake = ((0.6 + 0.5) ** 2 + 0) / 2
    found = lecam([REAL], [FAKE], torch.tensor([0.6, 0.25]))
    assert float(found) == pytest.approx(real + fake)


def test_resolutions_count_alike_and_padding_not_at_all() -> None:
    small, padded = judged(4.0), judged(2.0, 0.5, 1e9, inside=[True, True, False])
    both = discriminator_loss("hinge", [REAL, small], [FAKE, small])
    assert float(both) == pytest.approx((1.5 + 5) / 2)
    assert float(discriminator_loss("hinge", [padded], [FAKE])) == pytest.approx(1.5)
    assert float(generator_loss("hinge", [padded])) == pytest.approx(-1.25)
    figures = logit_figures([padded], [FAKE])
    assert float(figures["real"]) == pytest.approx(1.25)
    assert float(figures["accuracy"]) == pytest.approx((1 + 0.5) / 2)


@pytest.mark.parametrize("loss", ["hinge", "non_saturating"])
def test_a_discriminator_that_says_nothing_has_the_loss_of_sleep(loss: str) -> None:
    zero = [judged(0.0, 0.0)]
    assert float(discriminator_loss(loss, zero, zero)) == pytest.approx(ASLEEP[loss])  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["hinge", "non_saturating"])
def test_losses_of_bfloat16_logits_are_float32(loss: str) -> None:
    low = [Judgement(x.logits.bfloat16(), ()) for x in (REAL, FAKE)]
    found = discriminator_loss(loss, low[:1], low[1:])  # type: ignore[arg-type]
    assert found.dtype == torch.float32
    assert found.equal(discriminator_loss(loss, [REAL], [FAKE]))  # type: ignore[arg-type]
    assert generator_loss(loss, low).dtype == torch.float32  # type: ignore[arg-type]


def squares(*norms: float) -> Tensor:
    return torch.tensor([norm**2 for norm in norms])


def test_the_balance_is_a_capped_ratio_of_averages() -> None:
    balance = Balance(10.0)
    assert float(balance.ratio) == 0
    balance.update(squares(3.0, 2.0))
    assert float(balance.ratio) == pytest.approx(1.5)  # the start is corrected for
    balance.update(squares(6.0, 4.0))
    assert float(balance.ratio) == pytest.approx(1.5)
    weights = (0.99 * 0.01, 0.01)
    expected = (3 * weights[0] + 6 * weights[1]) / (2 * weights[0] + 4 * weights[1])
    assert float(balance.ratio) == pytest.approx(expected)
    before = balance.averages.clone()
    for bad in (math.nan, math.inf):
        balance.update(torch.tensor([1.0, bad]))
    assert balance.averages.equal(before)
    for _ in range(500):
        balance.update(squares(1.0, 0.0))
    assert float(balance.ratio) == 10


def test_the_guard_halves_twice_and_then_ends_it() -> None:
    guard, said = Guard(2.0), []
    for _ in range(30):
        assert guard.observe(0.01, counts=False) is None
    for step in range(400):  # 1.9 dB above, and then 2.1
        error = 0.01 * 10 ** (0.19 if step < 100 else 0.21)
        text = guard.observe(error, counts=True)
        if text is not None:
            said.append((step, guard.factor))
            assert "dB above its value at the adversary's start" in text
    assert [factor for _, factor in said] == [0.5, 0.25, 0.0]
    first, second, third = (step for step, _ in said)
    assert 100 < first < 200 and second - first == third - second == 51


def test_the_guard_continues_from_its_state() -> None:
    one, two = Guard(2.0), Guard(2.0)
    errors = [0.01 * 1.05**i for i in range(60)]
    for error in errors[:30]:
        one.observe(error, counts=error > 0.02)
    two.load_state(json.loads(json.dumps(one.state())))
    for error in errors[30:]:
        assert one.observe(error, counts=True) == two.observe(error, counts=True)
    assert one.state() == two.state() and one.strikes


def test_the_watch_speaks_after_five_lines_once() -> None:
    watch = PlayersWatch("hinge")
    winning = {"accuracy": 0.99, "real": 3.0, "fake": -3.0, "discriminator": 0.0, "generator": 3.0}
    said = [len(watch.observe(winning)) for _ in range(8)]
    assert said == [0, 0, 0, 0, 1, 0, 0, 0]
    asleep = {"accuracy": 0.5, "real": 0.0, "fake": 0.01, "discriminator": 2.0}
    assert not any(watch.observe(asleep) for _ in range(6))  # it learns alone
    found = [watch.observe(asleep | {"generator": 0.0}) for _ in range(6)]
    assert [bool(lines) for lines in found] == [False] * 4 + [True, False]
    assert "sleeps" in found[4][0]
