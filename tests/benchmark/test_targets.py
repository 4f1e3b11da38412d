"""Targets: what is measured, what is met, and what cannot be said."""

from __future__ import annotations

import math

from vocabula.benchmark import growth, kmeans, search, training
from vocabula.benchmark.targets import geometric_mean, slope, verdict
from vocabula.benchmark.task import OURS, Settings

SETTINGS = Settings(threads=1)


def test_verdict() -> None:
    assert verdict("speed", 1.5, "at least", 1.3)["met"] is True
    assert verdict("speed", 1.2, "at least", 1.3)["met"] is False
    assert verdict("memory", 100, "at most", 100)["met"] is True
    missing = verdict("memory", None, "at most", 100)
    assert missing == {
        "target": "memory", "measured": None, "required": "at most 100", "met": None,
    }  # fmt: skip


def test_geometric_mean_and_slope() -> None:
    assert math.isclose(geometric_mean([1, 2, 4]), 2)
    assert math.isclose(slope([1, 10, 100], [3, 30, 300]), 1)
    assert math.isclose(slope([1, 2, 4], [5, 20, 80]), 2)


def searched(dim: int, ratio: float, share: float | None = None, offset: float = 0) -> dict:
    row = {
        "case": {"N": 4, "K": 4, "D": dim, "offset": offset},
        "contestants": {OURS: {"gflops": 1.0, "wrong_codes": 0}, "cdist": {"gflops": 1.0}},
        "best_rival_over_ours": ratio,
    }
    return row if share is None else {**row, "share_of_matmul": share}


def test_search_targets_take_the_worst_size_and_leave_the_offset_out() -> None:
    rows = [searched(4, 0.5), searched(64, 2, 0.9), searched(64, 9, 0.1, offset=1000)]
    worst, mean, share, wrong = search.targets(rows, SETTINGS)
    assert (worst["measured"], worst["met"]) == (0.5, False)
    assert (mean["measured"], mean["met"]) == (1.0, False)
    assert (share["measured"], share["met"]) == (0.9, True)
    assert wrong["met"] is True
    assert "cdist" in worst["target"]


def test_search_speed_is_two_operations_a_component() -> None:
    row = {
        "case": {"N": 1000, "K": 500, "D": 64, "offset": 0},
        "contestants": {OURS: {"median_s": 0.001}, "matmul": {"median_s": 0.1}},
    }
    search.finish(row)
    assert math.isclose(row["contestants"][OURS]["gflops"], 64)  # 2 * 1000 * 500 * 64 / 0.001
    assert math.isclose(row["share_of_matmul"], 64 / (2 * 2048**3 / 0.1 / 1e9))


def test_training_targets_are_those_of_the_case() -> None:
    values, goal = training.CASES[0]
    row = {
        "case": values,
        "contestants": {OURS: {"median_s": 0.1, "wrong_codes": 1, "peak_bytes": 2e8}},
        "best_rival_over_ours": goal.speed,
    }
    speed, memory, wrong = training.targets([row], SETTINGS)
    assert (speed["required"], speed["met"]) == ("at least 10", True)
    assert (memory["measured"], memory["met"]) == (200, False)
    assert (wrong["measured"], wrong["met"]) == (1, False)


def test_kmeans_targets_compare_sums_over_seeds() -> None:
    def row(ours: float, theirs: float) -> dict:
        found = {OURS: ours, "faiss": theirs}
        return {
            "case": {"data": "normal"},
            "contestants": {n: {"median_s": t, "inertia": 2.0} for n, t in found.items()},
        }

    time, inertia = kmeans.targets([row(1, 4), row(2, 2)], SETTINGS)
    assert (time["measured"], time["met"]) == (0.5, True)
    assert (inertia["measured"], inertia["met"]) == (1, True)
    alone = [{"case": {"data": "normal"}, "contestants": {OURS: {"median_s": 1.0}}}]
    assert [v["met"] for v in kmeans.targets(alone, SETTINGS)] == [None, None]


def test_growth_is_fitted_to_the_largest_sizes() -> None:
    def row(size: int, seconds: float) -> dict:
        found = {"median_s": seconds, "peak_bytes": 100, "wrong_codes": 0}
        return {"case": {"N": size, "axis": "N"}, "contestants": {OURS: found}}

    # The first size is left out; below a megabyte, memory counts as that.
    rows = [row(1, 50.0), *(row(10**i, 2.0 * 10**i) for i in range(1, 5))]
    assert math.isclose(growth.growth(rows, "N", OURS, "median_s"), 1)
    assert growth.growth(rows, "N", OURS, "peak_bytes") == 0
    assert growth.growth(rows, "K", OURS, "median_s") is None
    assert [v["met"] for v in growth.targets(rows, SETTINGS)] == [True, True, None, None, True]
