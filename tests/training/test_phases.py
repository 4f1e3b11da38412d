from __future__ import annotations

import time

import pytest

from vocabula.training import phases
from vocabula.training.phases import Heartbeat, clock, phase


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "SILENCE", 0.1)


def test_a_long_phase_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with phase("counting codes", shown=True) as advance:
        advance(3, 8)
        time.sleep(0.35)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith("counting codes: 3 of 8, 0:0")


def test_a_short_phase_or_a_hidden_one_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with phase("short", shown=True):
        pass
    with phase("hidden", shown=False) as advance:
        advance(1, 2)
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_the_heart_beats_only_in_silence() -> None:
    said: list[float] = []
    with Heartbeat(lambda: said.append(time.monotonic())) as heart:
        for _ in range(10):
            time.sleep(0.02)
            heart.beat()
        assert not said
        time.sleep(0.3)
    count = len(said)
    assert count >= 1
    time.sleep(0.2)
    assert len(said) == count


def test_times_read_as_on_a_clock() -> None:
    assert [clock(s) for s in (0, 61, 3723.4)] == ["0:00", "1:01", "1:02:03"]
