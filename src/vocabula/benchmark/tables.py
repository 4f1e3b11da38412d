"""Tables of results: rows of text, printed by the command line and written into documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vocabula.benchmark import growth, kmeans, search, training
from vocabula.benchmark.task import OURS

NONE = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the names of the columns, and rows of as many words."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def suite_tables(result: dict[str, Any]) -> list[Table]:
    """The tables of one suite's result, without the table of targets."""
    makers = {"search": _search, "training": _training, "kmeans": _kmeans, "growth": _growth}
    return [_filled(table) for table in makers[result["suite"]](result)]


def _filled(table: Table) -> Table:
    """The table without columns in which nothing was measured."""
    kept = [i for i in range(len(table.columns)) if any(row[i] != NONE for row in table.rows)]
    columns = tuple(table.columns[i] for i in kept)
    return Table(table.title, columns, [tuple(row[i] for i in kept) for row in table.rows])


def target_table(result: dict[str, Any]) -> Table:
    """The targets of one suite's result and whether each is met."""
    words = {True: "met", False: "not met", None: "not measured"}
    rows = [
        (v["target"], v["required"], figure(v["measured"]), words[v["met"]])
        for v in result["targets"]
    ]
    return Table("Targets", ("target", "required", "measured", ""), rows)


def figure(value: float | None, digits: int = 3) -> str:
    """A number to a given number of digits, or a dash."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def duration(found: dict[str, Any]) -> str:
    """A contestant's median time, ± half of the interquartile range."""
    if "median_s" not in found:
        return "failed" if "failed" in found else NONE
    unit, scale = ("s", 1.0) if found["median_s"] >= 1 else ("ms", 1e3)
    middle = found["median_s"]
    spread = 100 * (found["upper_s"] - found["lower_s"]) / 2 / middle
    shown = f" ±{spread:.0f} %" if found["turns"] > 1 else ""
    return f"{figure(scale * middle)} {unit}{shown}"


def megabytes(found: dict[str, Any]) -> str:
    """Peak memory of a contestant in MB (10^6 bytes)."""
    peak = found.get("peak_bytes")
    return NONE if peak is None else figure(peak / 1e6)


def _names(result: dict[str, Any], known: tuple[str, ...]) -> list[str]:
    """The contestants of a result, in a known order."""
    there = {name for row in result["cases"] for name in row["contestants"]}
    return [name for name in known if name in there]


def _ratio(row: dict[str, Any]) -> str:
    return figure(row.get("best_rival_over_ours"))


def _codes(row: dict[str, Any]) -> str:
    """Which contestants have wrong codes, and how many of the codes checked."""
    found = row["contestants"].items()
    bad = [f"{n}: {f['wrong_codes']} wrong" for n, f in found if f.get("wrong_codes")]
    return ", ".join(bad) or "right"


def _search(result: dict[str, Any]) -> list[Table]:
    names = _names(result, (OURS, *search.RIVALS))
    memory = result["device"] == "cuda"
    rows = []
    for row in result["cases"]:
        case, found = row["case"], row["contestants"]
        about = f", about {case['offset']}" if case["offset"] else ""
        share = row.get("share_of_matmul")
        rows.append(
            (
                f"{case['N']} x {case['K']} x {case['D']}{about}",
                *(duration(found.get(name, {})) for name in names),
                *(megabytes(found.get(name, {})) for name in names if memory),
                _ratio(row),
                figure(found[OURS].get("gflops")),
                NONE if share is None else f"{100 * share:.0f} %",
                _codes(row),
            )
        )
    peaks = [f"{name} MB" for name in names if memory]
    last = ("best rival / ours", "GFLOP/s", "of matmul", "codes")
    return [Table("Search", ("N x K x D", *names, *peaks, *last), rows)]


def _training(result: dict[str, Any]) -> list[Table]:
    names = _names(result, (OURS, training.RIVAL))
    rows = [
        (
            training.label(row["case"]),
            *(duration(row["contestants"].get(name, {})) for name in names),
            _ratio(row),
            *(megabytes(row["contestants"].get(name, {})) for name in names),
            _codes(row),
        )
        for row in result["cases"]
    ]
    peaks = [f"{name} MB" for name in names]
    columns = ("quantizer, N x K x D", *names, "rival / ours", *peaks, "codes")
    return [Table("Training steps", columns, rows)]


def _kmeans(result: dict[str, Any]) -> list[Table]:
    names = _names(result, (OURS, kmeans.RIVAL))
    rows = []
    for row in result["cases"]:
        case, found = row["case"], row["contestants"]
        rows.append(
            (
                f"{case['N']} x {case['K']} x {case['D']}, {case['data']}, seed {case['seed']}",
                *(duration(found.get(name, {})) for name in names),
                *(figure(found.get(name, {}).get("inertia"), 6) for name in names),
            )
        )
    inertias = [f"{name} inertia" for name in names]
    return [Table("K-means", ("N x K x D", *names, *inertias), rows)]


def _growth(result: dict[str, Any]) -> list[Table]:
    names = _names(result, (OURS, *search.RIVALS))
    rows = []
    for row in result["cases"]:
        case, found = row["case"], row["contestants"]
        rows.append(
            (
                f"{case['N']} x {case['K']} x {case['D']}",
                *(duration(found.get(name, {})) for name in names),
                *(megabytes(found.get(name, {})) for name in names),
            )
        )
    sizes = Table("Growth", ("N x K x D", *names, *(f"{name} MB" for name in names)), rows)
    fitted = [
        (f"{what} in {axis}", *(figure(found.get(name)) for name in names))
        for axis, what, found in growth.exponents(result["cases"])
    ]
    return [sizes, Table("Exponents", ("fitted exponent of", *names), fitted)]
