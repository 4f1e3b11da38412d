"""Contests in real processes: turns, checks, memory, and contestants that fail."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from vocabula.benchmark import Settings, memory, run_suite, search, suites, wrong_cases
from vocabula.benchmark.contest import (
    Contestant,
    ContestantError,
    Team,
    _comparison,
    contest,
)
from vocabula.benchmark.task import OURS, Case
from vocabula.errors import OptionError

SETTINGS = Settings(threads=1, quick=True)
SMALL = {"N": 300, "K": 40, "D": 8, "offset": 0}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """One team for all contests, as in a suite: its processes take seconds to start."""
    with Team("search", SETTINGS) as team:
        yield team


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="threads"):
        Settings(threads=0)
    with pytest.raises(OptionError, match="seed"):
        Settings(threads=1, seed=-1)


@pytest.mark.slow
def test_contestants_take_turns_and_are_right(team: Team) -> None:
    case = Case(SMALL, (OURS, "cdist", "matmul"), turns=2, most=2)
    row = contest(team, case, SETTINGS)
    assert list(row["contestants"]) == list(case.contestants)
    for name, found in row["contestants"].items():
        assert found["turns"] == 2 <= found["calls"]
        assert 0 < found["lower_s"] <= found["median_s"] <= found["upper_s"]
        assert name == "matmul" or (found["wrong_codes"], found["checked_codes"]) == (0, 64)
    assert row["best_rival"] == "cdist"  # a product of matrices finds nothing, and is no rival
    ratio = row["contestants"]["cdist"]["median_s"] / row["contestants"][OURS]["median_s"]
    assert row["best_rival_over_ours"] == ratio


def test_the_best_rival_is_the_fastest_that_finished() -> None:
    times = {OURS: 2.0, "cdist": 3.0, "blocked": 5.0, "matmul": 1.0}
    figures = {name: {"median_s": time} for name, time in times.items()}
    figures["faiss"] = {"failed": "not installed"}
    assert _comparison(figures) == {"best_rival": "cdist", "best_rival_over_ours": 1.5}
    figures["blocked"]["median_s"] = 1.0
    assert _comparison(figures) == {"best_rival": "blocked", "best_rival_over_ours": 0.5}
    del figures[OURS]
    assert _comparison(figures) == {}


@pytest.mark.slow
def test_ours_is_right_far_from_the_origin(team: Team) -> None:
    case = Case({"N": 300, "K": 400, "D": 8, "offset": 1000}, (OURS, "cdist"), turns=1, most=1)
    found = contest(team, case, SETTINGS)["contestants"]
    assert found[OURS]["wrong_codes"] == 0
    # float32 holds 1000² to 0.06: a difference of squares is of no use, and the check shows it.
    assert found["cdist"]["wrong_codes"] > 0


@pytest.mark.slow
def test_a_failing_contestant_is_named_and_the_others_go_on(team: Team) -> None:
    case = Case(SMALL, (OURS, "nobody"), turns=1, most=1)
    row = contest(team, case, SETTINGS)
    again = contest(team, case, SETTINGS)
    for found in (row, again):
        assert "nobody" in found["contestants"]["nobody"]["failed"]
        assert "median_s" in found["contestants"][OURS]
        assert "best_rival" not in found


def test_a_process_that_dies_is_an_error() -> None:
    contestant = Contestant(threads=1)
    contestant._process.kill()
    contestant._process.wait()
    with pytest.raises(ContestantError, match="ended with code -9"):
        contestant.ask("check")
    contestant.close()


def test_a_worker_ends_with_its_input() -> None:
    contestant = Contestant(threads=1)
    assert contestant._process.stdin is not None
    contestant._process.stdin.close()
    assert contestant._process.wait(timeout=60) == 0
    contestant.close()


@LINUX
def test_peak_memory_is_what_a_call_holds_beside_its_output() -> None:
    import numpy as np

    def run() -> object:
        passing, kept = np.ones(12_500_000), np.ones(2_500_000)  # 100 MB and 20 MB
        return kept * passing[0]

    peak = memory.peak_bytes(run, lambda result: result.nbytes, "cpu")
    assert peak is not None
    # The 20 MB that the product was made from count too. A system that takes idle pages back while
    # they are held shows less, but still far more than what is kept.
    assert 60e6 < peak < 130e6


@pytest.mark.slow
@LINUX
def test_memory_is_measured_in_a_process_apart(team: Team) -> None:
    # 3000 x 4000 float32 distances are 48 MB, the codes 24 kB.
    values = {"N": 3000, "K": 4000, "D": 8, "offset": 0}
    case = Case(values, (OURS, "cdist", "blocked"), memory=True, turns=1, most=1)
    found = contest(team, case, SETTINGS)["contestants"]
    assert 47e6 < found["cdist"]["peak_bytes"] < 60e6
    assert 8e6 < found["blocked"]["peak_bytes"] < 20e6  # a tile of 524 rows
    assert found[OURS]["peak_bytes"] < 47e6


@pytest.mark.parametrize("quantizer", ["vector", "lookup-free", "residual", "product"])
def test_training_steps_of_every_quantizer_are_right(quantizer: str) -> None:
    from vocabula.benchmark.training import task

    values = {"quantizer": quantizer, "N": 200, "K": 16, "D": 4}
    if quantizer in ("residual", "product"):
        values["books"] = 2
    check_steps(task(OURS, values, SETTINGS))
    if importlib.util.find_spec("vector_quantize_pytorch"):
        check_steps(task("vector-quantize-pytorch", values, SETTINGS))


def check_steps(made) -> None:
    result = made.run()
    z, gradient, quantized, _ = result
    assert z.shape == gradient.shape == quantized.shape == (200, 4)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert not z.equal(made.run()[0]), "steps take different batches"
    assert made.check(result)["wrong_codes"] == 0


def test_finite_scalar_steps_are_right() -> None:
    from vocabula.benchmark.training import task

    check_steps(task(OURS, {"quantizer": "finite-scalar", "N": 200, "K": 1000, "D": 4}, SETTINGS))


def test_kmeans_fits_the_same_data_by_seed() -> None:
    from vocabula.benchmark.inputs import inertia, mixture
    from vocabula.benchmark.kmeans import task

    values = {"data": "mixture", "N": 400, "K": 8, "D": 4, "iterations": 5, "seed": 0}
    made = task(OURS, values, SETTINGS)
    centroids = made.run()
    assert centroids.shape == (8, 4)
    expected = inertia(mixture(400, 4, 8, SETTINGS.seed), centroids)
    assert made.check(centroids) == {"inertia": expected}
    # A cluster's variance is 4 x 0.5²; the centres' 4 x 1 lies above it.
    assert 0.5 < expected < 4


@pytest.mark.slow
def test_a_suite_leaves_out_what_is_not_installed(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `vocabula benchmark`, in its own tests, starts and ends a team itself.
    monkeypatch.setattr(suites, "Team", lambda *_: nullcontext(team))
    monkeypatch.setattr(search, "QUICK", ((4, 16, 256),))
    monkeypatch.setattr(search, "FAR", (4, 16, 256, 1000))
    monkeypatch.setattr(suites, "installed", lambda name: name in (OURS, "cdist"))
    lines: list[str] = []
    result = run_suite("search", SETTINGS, lines.append)
    assert [list(row["contestants"]) for row in result["cases"]] == [[OURS, "cdist"]] * 2
    assert len(lines) == 2 and "vocabula" in lines[0]
    assert suites.missing_rivals() == ["faiss-cpu", "vector-quantize-pytorch"]
    assert wrong_cases(result) == []
    result["cases"][0]["contestants"][OURS]["wrong_codes"] = 3
    assert len(wrong_cases(result)) == 1
