"""Tables hold every case, and say what failed and what was not measured."""

from __future__ import annotations

from vocabula.benchmark.record import record
from vocabula.benchmark.tables import duration, figure, suite_tables, target_table
from vocabula.benchmark.task import OURS

TIMED = {"median_s": 0.002, "lower_s": 0.0019, "upper_s": 0.0023, "turns": 3}


def test_numbers_are_short() -> None:
    assert [figure(v) for v in (None, 0.12345, 12.345, 12345.6, 0)] == [
        "-", "0.123", "12.3", "12,346", "0",
    ]  # fmt: skip
    assert duration(TIMED) == "2 ms ±10 %"
    assert duration({**TIMED, "turns": 1}) == "2 ms"
    assert duration({"failed": "no memory"}) == "failed"
    assert duration({}) == "-"


def test_search_table() -> None:
    row = {
        "case": {"N": 10, "K": 20, "D": 30, "offset": 1000},
        "contestants": {
            OURS: {**TIMED, "gflops": 150.0, "wrong_codes": 0},
            "cdist": {**TIMED, "gflops": 15.0, "wrong_codes": 4},
            "blocked": {"failed": "why"},
            "matmul": TIMED,
        },
        "best_rival_over_ours": 1.5,
        "share_of_matmul": 0.875,
    }
    targets = [{"target": "t", "measured": None, "required": "at least 1", "met": None}]
    result = {"suite": "search", "device": "cpu", "cases": [row], "targets": targets}
    (table,) = suite_tables(result)
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "N x K x D": "10 x 20 x 30, about 1000",
        OURS: "2 ms ±10 %",
        "cdist": "2 ms ±10 %",
        "blocked": "failed",
        "best rival / ours": "1.5",
        "GFLOP/s": "150",
        "of matmul": "88 %",
        "codes": "cdist: 4 wrong",
    }
    assert target_table(result).rows == [("t", "at least 1", "-", "not measured")]


def test_columns_without_a_figure_are_left_out() -> None:
    row = {
        "case": {"quantizer": "vector", "N": 1, "K": 2, "D": 3},
        "contestants": {OURS: {**TIMED, "wrong_codes": 0}},
    }
    (table,) = suite_tables({"suite": "training", "cases": [row]})
    assert table.columns == ("quantizer, N x K x D", OURS, "codes")
    assert list(table.rows) == [("vector 1 x 2 x 3", "2 ms ±10 %", "right")]


def test_a_record_says_where_it_comes_from() -> None:
    found = record("name", "the command", 3, {"figure": 1})
    assert (found["name"], found["command"], found["figure"]) == ("name", "the command", 1)
    assert found["machine"]["threads"] == 3
    assert found["machine"]["processor"].endswith(", 3 threads")
    assert {"python", "torch", "vocabula"} <= found["machine"].keys()
    assert len(found["commit"]) in (0, 40)
