"""When the watch over a prior speaks, and when it keeps quiet."""

from __future__ import annotations

import pytest

from vocabula.training.prior_watch import HeldOutNats, PriorWatch


def watch(**options: object) -> PriorWatch:
    return PriorWatch(**{"order0": 3.0, "warmup": 100, "condition": "class", **options})  # type: ignore[arg-type]


def test_a_run_that_goes_well_is_quiet() -> None:
    quiet = watch()
    for step, loss, nats in ((50, 4.0, 3.9), (100, 2.5, 2.6), (200, 2.0, 2.2), (300, 1.9, 2.21)):
        assert quiet.observe(step, loss, HeldOutNats(step, nats, nats + 0.1)) == []
        assert quiet.observe(step + 10, loss, None) == []
    assert quiet.best == HeldOutNats(200, 2.2, pytest.approx(2.3))


def test_overfitting_is_told_once_with_the_step_that_is_kept() -> None:
    told = watch()
    assert told.observe(200, 2.0, HeldOutNats(200, 2.2)) == []
    # 1 % above the best, and the training loss has fallen since
    (text,) = told.observe(300, 1.5, HeldOutNats(300, 2.23))
    assert "rose from 2.2 at step 200 to 2.23" in text
    assert "weights of step 200 are kept" in text
    assert told.observe(400, 1.2, HeldOutNats(400, 2.6)) == []
    # both rise: not by heart, but unstable
    assert watch_after(1.5, 2.2).observe(300, 1.6, HeldOutNats(300, 2.5)) == []


def watch_after(loss: float, nats: float) -> PriorWatch:
    found = watch(condition="")
    assert found.observe(200, loss, HeldOutNats(200, nats)) == []
    return found


def test_a_prior_worse_than_frequencies_is_told_after_warming_up() -> None:
    told = watch()
    assert told.observe(99, 3.2, HeldOutNats(99, 3.1, 3.2)) == []
    (text,) = told.observe(100, 2.9, HeldOutNats(100, 3.05, 3.2))
    assert "cost 3.05 nats each, more than by their mere frequencies (3)" in text


def test_a_loss_that_stays_where_it_was_is_told() -> None:
    told = watch()
    assert told.observe(50, 4.16, None) == []
    (text,) = told.observe(150, 4.14, None)
    assert "has not moved: 4.16 nats per code at first, 4.14 now" in text
    # at the end of a run it may stand still: what it says has been learned
    settled = watch()
    settled.observe(50, 2.0, None)
    assert settled.observe(5000, 1.999, None) == []


def test_an_ignored_condition_is_told() -> None:
    (text,) = watch().observe(100, 2.0, HeldOutNats(100, 2.0, 2.0005))
    assert "The class makes no difference: 2 nats per code with it, 2.001 without" in text
    assert watch().observe(100, 2.0, HeldOutNats(100, 2.0, 2.01)) == []
    assert watch(condition="").observe(100, 2.0, HeldOutNats(100, 2.0, None)) == []


def test_its_state_survives_a_checkpoint() -> None:
    told = watch()
    told.observe(150, 2.0, HeldOutNats(150, 2.2, 2.0))
    again = watch()
    again.load_state(told.state())
    assert again == told
