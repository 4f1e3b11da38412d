"""The suites by name, and the function that runs one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from vocabula.benchmark import growth, kmeans, search, training
from vocabula.benchmark.contest import Team, contest
from vocabula.benchmark.rivals import PACKAGES, installed
from vocabula.benchmark.task import OURS, Case, Settings, Suite

SUITES = {
    "search": Suite(
        title="Search",
        cases=search.cases,
        task=search.task,
        finish=search.finish,
        targets=search.targets,
        fresh=False,
        devices=("cpu", "cuda"),
    ),
    "training": Suite(
        title="Training steps",
        cases=training.cases,
        task=training.task,
        targets=training.targets,
        devices=("cpu", "cuda"),
    ),
    "kmeans": Suite(title="K-means", cases=kmeans.cases, task=kmeans.task, targets=kmeans.targets),
    "growth": Suite(
        title="Growth",
        cases=growth.cases,
        task=growth.task,
        finish=growth.finish,
        targets=growth.targets,
        fresh=False,
    ),
}


def run_suite(
    name: str, settings: Settings, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Run every case of a suite.

    Args:
        name: a key of `SUITES`.
        settings: what all contestants share.
        progress: called with one line after each case.

    Returns:
        Plain data: ``suite``, the settings, ``cases`` (see `contest`) and ``targets``.
    """
    suite = SUITES[name]
    rows = []
    with ExitStack() as whole:
        shared = None if suite.fresh else whole.enter_context(Team(name, settings))
        for case in suite.cases(settings):
            with ExitStack() as own:
                team = shared or own.enter_context(Team(name, settings))
                row = contest(team, _present(case), settings)
            suite.finish(row)
            rows.append(row)
            progress(_line(name, row))
    return {
        "suite": name,
        **dataclasses.asdict(settings),
        "cases": rows,
        "targets": suite.targets(rows, settings),
    }


def _present(case: Case) -> Case:
    """The case without the contestants that are not installed."""
    there = tuple(name for name in case.contestants if installed(name))
    return dataclasses.replace(case, contestants=there)


def _line(name: str, row: dict[str, Any]) -> str:
    sizes = " ".join(f"{key}={value}" for key, value in row["case"].items() if value != 0)
    times = ", ".join(
        f"{contestant} {1e3 * found['median_s']:.4g} ms" if "median_s" in found
        else f"{contestant} failed ({found.get('failed')})"
        for contestant, found in row["contestants"].items()
    )  # fmt: skip
    return f"{name} {sizes}: {times}"


def missing_rivals() -> list[str]:
    """The packages of the ``bench`` extra that are not installed."""
    return [package for name, (_, package) in PACKAGES.items() if not installed(name)]


def wrong_cases(result: dict[str, Any]) -> list[str]:
    """The cases of a suite in which we failed or gave a wrong code."""
    return [
        _line(result["suite"], row)
        for row in result["cases"]
        if "failed" in row["contestants"][OURS] or row["contestants"][OURS].get("wrong_codes")
    ]
