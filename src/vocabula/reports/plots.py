"""Plots as inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# matplotlib needs real colours: these stand for the page's colours and are replaced in the SVG.
_INK = "#010203"
_GRID = "#010204"
_SERIES = ("#010211", "#010212", "#010213", "#010214")
_THEME = {_INK: "currentColor", _GRID: "var(--line)"} | {
    colour: f"var(--plot-{i})" for i, colour in enumerate(_SERIES)
}
_MOST_STEPS = 4000
_INVISIBLE = 0.02  # values of a matrix that are not drawn


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot: values `y` at `x`, with a name for the legend."""

    name: str
    x: Sequence[float] = field(default_factory=list)
    y: Sequence[float] = field(default_factory=list)


def lines(
    series: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    log: bool = False,
    limits: tuple[float, float] | None = None,
) -> str:
    """A line plot as ``<svg>`` text. Values that are not finite leave gaps.

    Args:
        series: the lines; a legend names them if there are several.
        x_label: what the x axis shows.
        y_label: what the y axis shows.
        log: use a logarithmic y axis if any value is above 0.
        limits: lowest and highest y shown; None follows the values.
    """
    figure, axes = _axes(x_label, y_label)
    for i, line in enumerate(series):
        axes.plot(line.x, line.y, color=_SERIES[i % len(_SERIES)], label=line.name, linewidth=1.4)
    if log and any(y > 0 for line in series for y in line.y):
        axes.set_yscale("log")
        _plain_labels(axes.yaxis)
    if limits is not None:
        axes.set_ylim(limits)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure)


def points(
    names: Sequence[str], x: Sequence[float], y: Sequence[float], *, x_label: str, y_label: str
) -> str:
    """Points as ``<svg>`` text, each with its name beside it.

    Args:
        names: of the points.
        x: where they are.
        y: likewise.
        x_label: what the x axis shows.
        y_label: what the y axis shows.
    """
    figure, axes = _axes(x_label, y_label)
    for i, (name, across, up) in enumerate(zip(names, x, y, strict=True)):
        axes.plot([across], [up], "o", color=_SERIES[i % len(_SERIES)])
        axes.annotate(
            name, (across, up), xytext=(6, 4), textcoords="offset points", fontsize=8, color=_INK
        )
    axes.margins(0.15)
    return _svg(figure)


def ranked_usage(
    counts: Sequence[Sequence[int]], names: Sequence[str], sizes: Sequence[int]
) -> str:
    """Counts of the codewords of each book, most used first, on a logarithmic scale, as ``<svg>``.

    Args:
        counts: per book, the counts of the used codewords in falling order.
        names: per book, its name for the legend.
        sizes: per book, its number of codewords K; a line marks it if some were not used.
    """
    wide = max(sizes) > _MOST_STEPS
    figure, axes = _axes("codeword, by rank", "times used")
    for i, book in enumerate(counts):
        colour = _SERIES[i % len(_SERIES)]
        rank, values = _thin(np.asarray(book, dtype=np.float64))
        if values.size == 0:
            continue
        if len(counts) == 1 and values.size == len(book):
            axes.fill_between(rank - 0.5, values, 0.5, step="post", color=colour, alpha=0.25)
        axes.step(rank, values, where="mid", color=colour, label=names[i], linewidth=1.4)
        if len(book) < sizes[i]:
            axes.axvline(sizes[i], color=colour, linewidth=1, linestyle=":")
    axes.set_yscale("log")
    _plain_labels(axes.yaxis)
    if wide:
        axes.set_xscale("log")
        _plain_labels(axes.xaxis)
    if len(counts) > 1:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure)


def bars(
    values: Sequence[float], *, x_label: str, y_label: str, threshold: float | None = None
) -> str:
    """A bar for each value, in order, as ``<svg>``; a dotted line marks `threshold`."""
    figure, axes = _axes(x_label, y_label)
    axes.bar(range(len(values)), values, color=_SERIES[0], width=0.8)
    if threshold is not None:
        axes.axhline(threshold, color=_SERIES[1], linewidth=1, linestyle=":")
    return _svg(figure)


def matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x_label: str,
    y_label: str,
) -> str:
    """A matrix as ``<svg>``: every cell in the first colour, as opaque as its value.

    Args:
        values: (rows, columns) in [0, 1].
        rows: what each row is called, from the top.
        columns: what each column is called.
        x_label: what the columns are.
        y_label: what the rows are.
    """
    figure, axes = _axes(x_label, y_label)
    figure.set_size_inches(0.16 * len(columns) + 1.2, 0.12 * len(rows) + 1)
    figure.set_layout_engine("constrained")  # as names are of any length
    axes.grid(visible=False)
    for row, line in enumerate(values):
        for column in np.flatnonzero(line > _INVISIBLE).tolist():
            shade = round(float(line[column]), 2)
            axes.bar(column, 1.0, 1.0, row - 0.5, color=_SERIES[0], alpha=shade)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns, fontsize=6)
    axes.set_yticks(range(len(rows)), rows, fontsize=5)
    return _svg(figure)


def _thin(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks from 1 and their values; for a long list, ranks at even steps of their logarithm."""
    rank = np.arange(1, values.size + 1)
    if values.size > _MOST_STEPS:
        rank = np.unique(np.geomspace(1, values.size, _MOST_STEPS).round().astype(np.int64))
    return rank, values[rank - 1]


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 2.7))
    figure.subplots_adjust(left=0.14, right=0.99, bottom=0.17, top=0.92)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, color=_INK, fontsize=9)
    axes.set_ylabel(y_label, color=_INK, fontsize=9)
    axes.tick_params(which="both", colors=_INK, labelsize=8, length=3, width=0.6)
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_GRID)
    return figure, axes


def _plain_labels(axis: Axis) -> None:
    """Label a logarithmic axis 0.001, 1, 1e+06: formulas take longer than all else of a plot."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain())


def _svg(figure: Figure) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    # Text stays text: it takes the page's font, can be searched and needs no glyph outlines.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vocabula"}):
        FigureCanvasSVG(figure)
        figure.dpi = 72  # points, the unit of SVG
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")  # else all is drawn once more to lay it out
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    for colour, role in _THEME.items():
        text = text.replace(colour, role)
    return text
