"""Measure this library beside its rivals, on the machine it runs on.

    suites ── cases ──▶ contest ──── one process per contestant ────▶ worker
                          │    turns A B C A B C ... by messages       │ task: run, check
                          ▼                                            ▼
                 medians, quartiles, targets                  seconds, wrong codes, peak memory

`run_suite` runs one suite and returns its figures as plain data; `suite_tables` lays them out.
Nothing heavy is imported here: a contestant's process holds that contestant alone.
"""

from __future__ import annotations

from vocabula.benchmark.record import record
from vocabula.benchmark.suites import SUITES, missing_rivals, run_suite, wrong_cases
from vocabula.benchmark.tables import Table, suite_tables, target_table
from vocabula.benchmark.task import Settings

__all__ = [
    "SUITES",
    "Settings",
    "Table",
    "missing_rivals",
    "record",
    "run_suite",
    "suite_tables",
    "target_table",
    "wrong_cases",
]
