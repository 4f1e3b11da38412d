"""The generated part of docs/benchmarks.md, and its plots in docs/figures."""

from __future__ import annotations

from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from common import ROOT, result, row

from vocabula.benchmark import SUITES, Table, growth, search, suite_tables, target_table
from vocabula.benchmark.task import OURS

FIGURES = ROOT / "docs/figures"
FILES = {"search": "search", "training": "training-step", "kmeans": "kmeans", "growth": "growth"}
PLOTS = {"search": ["search-ratio"], "growth": ["growth-in-N", "growth-in-K"]}
CAPTIONS = {
    "search-ratio": "Time of the fastest rival over ours, at every size",
    "growth-in-N": "Time and peak memory of the search as vectors become more",
    "growth-in-K": "Time and peak memory of the search as codewords become more",
}
COLOURS = {OURS: "C3", "faiss": "C0", "cdist": "C1", "blocked": "C2"}
NOT_YET = "Not yet measured."


def rendered() -> str:
    """The whole block between the markers."""
    parts = []
    for name, suite in SUITES.items():
        parts += [f"### {suite.title}", *section(name, FILES[name])]
    parts.append("### On a GPU")
    for name, suite in SUITES.items():
        if "cuda" in suite.devices:
            parts += [f"**{suite.title}**", *section(name, f"{FILES[name]}-cuda")]
    return "\n\n".join(parts)


def section(name: str, file: str) -> list[str]:
    """What one result says: machine, targets, plots and tables."""
    found = result(file)
    if found is None:
        return [NOT_YET]
    plots = PLOTS.get(name, []) if found["device"] == "cpu" else []
    tables = suite_tables(found)
    return [
        machine_line(found),
        markdown(target_table(found)),
        *(f"![{CAPTIONS[plot]}](figures/{plot}.svg)" for plot in plots),
        *(markdown(table) for table in tables),
    ]


def machine_line(found: dict[str, Any]) -> str:
    """Where and how it was measured."""
    machine = found["machine"]
    rivals = [f"{name} {machine[name]}" for name in SHOWN_VERSIONS if name in machine]
    gpu = f"{machine['gpu']}; " if found["device"] == "cuda" else ""
    return (
        f"{gpu}{machine['processor']}, instruction set {machine.get('instructions', 'none')}; "
        f"{', '.join(rivals)}. `{found['command']}`"
    )


SHOWN_VERSIONS = ("torch", "faiss-cpu", "vector-quantize-pytorch")


def markdown(table: Table) -> str:
    """A Markdown table."""
    rule = row("---", *["---:"] * (len(table.columns) - 1))
    return "\n".join([row(*table.columns), rule, *(row(*cells) for cells in table.rows)])


def draw() -> None:
    """Draw the plots of the results that there are."""
    matplotlib.use("Agg")
    # The same input gives the same file: no date, no random names of parts.
    plt.rcParams.update({"svg.hashsalt": "vocabula", "font.size": 9, "axes.grid": True})
    FIGURES.mkdir(exist_ok=True)
    found = result("search")
    if found is not None:
        draw_ratios(found["cases"])
    found = result("growth")
    if found is not None:
        for axis in growth.AXES:
            draw_growth(found["cases"], axis)


def draw_ratios(cases: list[dict[str, Any]]) -> None:
    """A line for each codebook size, a panel for each number of vectors, over the dimensions."""
    figure, panels = plt.subplots(1, len(search.ROWS), figsize=(9, 3.5), sharey=True)
    for panel, rows in zip(panels, search.ROWS, strict=True):
        for size in search.BOOKS:
            points = [
                (case["case"]["D"], case["best_rival_over_ours"])
                for case in cases
                if (case["case"]["N"], case["case"]["K"]) == (rows, size)
                and not case["case"]["offset"]
                and "best_rival_over_ours" in case
            ]
            panel.plot(*zip(*sorted(points), strict=True), marker="o", label=f"K = {size}")
        panel.axhline(1, color="black", linewidth=1)
        panel.set(xscale="log", xlabel="D", title=f"N = {rows}")
        panel.set_xticks(search.WIDTHS, [str(width) for width in search.WIDTHS], minor=False)
        panel.minorticks_off()
        panel.set_ylim(bottom=0)
    panels[0].set_ylabel("best rival / ours, time")
    panels[-1].legend()
    save(figure, "search-ratio")


def draw_growth(cases: list[dict[str, Any]], axis: str) -> None:
    """Time and peak memory of every contestant over one axis, log-log, with fitted exponents."""
    fixed = ", ".join(f"{name} = {size}" for name, size in growth.AXES[axis][0].items())
    chosen = [case for case in cases if case["case"]["axis"] == axis]
    units = {"time": ("s", 1.0), "peak memory": ("MB", 1e-6)}
    figure, panels = plt.subplots(1, len(growth.FIGURES), figsize=(9, 3.5))
    for panel, (what, field) in zip(panels, growth.FIGURES.items(), strict=True):
        unit, scale = units[what]
        for name, colour in COLOURS.items():
            points = [
                (case["case"][axis], scale * max(figure_of, growth.floor(field)))
                for case in chosen
                if (figure_of := case["contestants"].get(name, {}).get(field)) is not None
            ]
            if not points:
                continue
            power = growth.growth(cases, axis, name, field)
            fitted = "" if power is None else f": {axis}^{power:.2f}"
            panel.plot(
                *zip(*points, strict=True), marker="o", color=colour, label=f"{name}{fitted}"
            )
        panel.set(xscale="log", yscale="log", xlabel=axis, title=f"{what}, {unit} ({fixed})")
        if panel.has_data():
            panel.legend()
    save(figure, f"growth-in-{axis}")


def save(figure: Any, name: str) -> None:
    """Write a plot into docs/figures."""
    figure.tight_layout()
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    print(f"wrote {FIGURES / name}.svg")
