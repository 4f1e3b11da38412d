from __future__ import annotations

import pytest

from vocabula.errors import OptionError
from vocabula.training.schedules import Constant, Cosine, Linear


def test_warmup_rises_from_the_first_step() -> None:
    schedule = Constant(warmup=4)
    assert [schedule.factor(s, 100) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_values_by_hand() -> None:
    schedule = Cosine(warmup=0, final=0.1)
    # 0.1 + 0.9 (1 + cos(pi t)) / 2 at t = 0, 1/3, 1/2, 1
    assert schedule.factor(0, 60) == 1.0
    assert schedule.factor(20, 60) == pytest.approx(0.1 + 0.9 * 0.75)
    assert schedule.factor(30, 60) == pytest.approx(0.55)
    assert schedule.factor(60, 60) == pytest.approx(0.1)


def test_linear_values_by_hand_after_warmup() -> None:
    schedule = Linear(warmup=10, final=0.5)
    assert schedule.factor(9, 110) == 1.0
    assert schedule.factor(10, 110) == 1.0
    assert schedule.factor(60, 110) == pytest.approx(0.75)
    assert schedule.factor(110, 110) == pytest.approx(0.5)


def test_steps_beyond_the_end_keep_the_final_factor() -> None:
    assert Cosine().factor(500, 100) == pytest.approx(0.0)


def test_warmup_longer_than_the_run_is_harmless() -> None:
    assert Linear(warmup=50).factor(9, 10) == pytest.approx(0.2)


def test_a_final_factor_above_one_is_refused() -> None:
    with pytest.raises(OptionError, match=r"final.*>= 0 and <= 1.*1.5"):
        Cosine(final=1.5)


def test_a_run_that_is_limited_by_time_ends_its_schedule_in_time() -> None:
    schedule = Linear(final=0.0)
    assert schedule.factor(10, 1000, elapsed=0.5) == pytest.approx(0.5)
    assert schedule.factor(900, 1000, elapsed=0.5) == pytest.approx(0.1)  # steps may be ahead
    assert Cosine(final=0.1).factor(1, 1000, elapsed=1.0) == pytest.approx(0.1)


def test_of_limited_time_the_warmup_takes_a_tenth_at_most() -> None:
    schedule = Constant(warmup=2000)
    assert schedule.factor(1, 10_000, elapsed=0.05) == pytest.approx(0.5)
    assert schedule.factor(1, 10_000, elapsed=0.1) == 1.0
    assert schedule.factor(1999, 10_000, elapsed=0.01) == 1.0
