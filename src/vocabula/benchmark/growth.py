"""Growth: time and peak memory of the search as the number of vectors or codewords grows."""

from __future__ import annotations

from typing import Any

from vocabula.benchmark import search
from vocabula.benchmark.targets import slope, verdict, wrong
from vocabula.benchmark.task import OURS, Case, Settings

AXES = {
    "N": ({"K": 1024, "D": 8}, (1000, 4000, 16_000, 64_000, 250_000, 1_000_000)),
    "K": ({"N": 4096, "D": 64}, (256, 1024, 4096, 16_384, 65_536, 262_144)),
}
"""What grows: the sizes that stay, and its values."""

FIGURES = {"time": "median_s", "peak memory": "peak_bytes"}

FLOOR = 2**20
"""Peak memory below this counts as this: what is left then is noise of the measurement."""

FITTED = 4
"""The slope is fitted through so many of the largest sizes, where the work outweighs the start."""


def cases(settings: Settings) -> list[Case]:
    """The sizes of each axis."""
    return [
        Case(
            {**fixed, axis: size, "offset": 0, "axis": axis},
            (OURS, *search.RIVALS),
            memory=not settings.quick,
        )
        for axis, (fixed, sizes) in AXES.items()
        for size in (sizes[:4] if settings.quick else sizes)
    ]


def growth(rows: list[dict[str, Any]], axis: str, contestant: str, field: str) -> float | None:
    """The fitted exponent of a figure along an axis; None where it was not measured."""
    points = [
        (row["case"][axis], row["contestants"].get(contestant, {}).get(field))
        for row in rows
        if row["case"]["axis"] == axis
    ]
    if len(points) < 2 or any(figure is None for _, figure in points):
        return None
    sizes, figures = zip(*points[-FITTED:], strict=True)
    return slope(sizes, [max(figure, floor(field)) for figure in figures])


def floor(field: str) -> float:
    """The lower bound of a figure."""
    return FLOOR if field == "peak_bytes" else 0.0


def targets(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """At most linear: time and memory, in vectors and in codewords."""
    return [
        *(
            verdict(
                f"exponent of {figure} in {axis}", growth(rows, axis, OURS, field), "at most", 1.05
            )
            for axis in AXES
            for figure, field in FIGURES.items()
        ),
        wrong(rows),
    ]


task = search.task
finish = search.finish


def exponents(rows: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, float | None]]]:
    """The fitted exponent of every contestant for each axis and figure, for tables and plots."""
    names = dict.fromkeys(name for row in rows for name in row["contestants"])
    return [
        (axis, figure, {name: growth(rows, axis, name, field) for name in names})
        for axis in AXES
        for figure, field in FIGURES.items()
    ]
