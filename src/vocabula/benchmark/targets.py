"""The project's targets, and whether a run has met them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from vocabula.benchmark.task import OURS


def verdict(
    target: str, measured: float | None, sign: Literal["at least", "at most"], bound: float
) -> dict[str, Any]:
    """One line of the table of targets.

    Args:
        target: what is meant, with its unit.
        measured: the figure, or None where it was not measured.
        sign: which side of `bound` meets the target.
        bound: the target's value.

    Returns:
        Plain data; ``met`` is None where nothing was measured.
    """
    met = None
    if measured is not None:
        met = measured >= bound if sign == "at least" else measured <= bound
    return {"target": target, "measured": measured, "required": f"{sign} {bound:g}", "met": met}


def wrong(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The verdict that all our codes match a float64 brute force."""
    counts = [
        row["contestants"][OURS]["wrong_codes"]
        for row in rows
        if "wrong_codes" in row["contestants"].get(OURS, {})
    ]
    measured = float(sum(counts)) if counts else None
    return verdict("codes that differ from float64 brute force", measured, "at most", 0)


def geometric_mean(values: Sequence[float]) -> float:
    """exp(mean(log v)) of one or more positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def slope(sizes: Sequence[float], figures: Sequence[float]) -> float:
    """The exponent p of figure ~ size^p: the least-squares line through the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(f) for f in figures]
    centre, level = sum(x) / len(x), sum(y) / len(y)
    products = ((a - centre) * (b - level) for a, b in zip(x, y, strict=True))
    return sum(products) / sum((a - centre) ** 2 for a in x)
