"""The plot of a rate-distortion measurement."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from vocabula.benchmark.rate.matching import log_linear
from vocabula.benchmark.rate.study import RatePoint, RateStudy
from vocabula.benchmark.rate.words import ONE_FOR_ALL
from vocabula.files import printable

_COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8e6c8a")
_APART = 0.9  # one file for all is drawn only if it is at least this much smaller
_AROUND = 1.8
"""The axis goes from the lowest of our rates over this to the highest times this."""
_RIVAL_COLOURS = {"JPEG": "#8a8a8a", "WebP": "#1f1f1f", "AVIF": "#b5985a", "JPEG XL": "#6fa8c9"}


def rate_figure(studies: Sequence[tuple[str, RateStudy]], title: str) -> bytes:
    """A PNG file: PSNR over bits per pixel (logarithmic), limited to the range of our points.

    Args:
        studies: a name for the legend and its figures, all on the same pictures; the rivals'
            curves are drawn once.
        title: above the plot.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7.2, 4.4), dpi=120, layout="constrained")
    axes = figure.add_subplot()

    def draw(points: Sequence[RatePoint], name: str, **style: Any) -> None:
        x, y = [p.bits_per_pixel for p in points], [p.psnr_db for p in points]
        axes.plot(x, y, label=shown_name(name), **style)

    for name, curve in studies[0][1].curves.items():
        draw(curve, name, color=_RIVAL_COLOURS.get(name), marker=".", linewidth=1.2)
    for colour, (name, study) in zip(_COLOURS, studies, strict=False):
        draw(study.points, name, color=colour, marker="o", linewidth=1.8)
        together = sum(point.bytes for point in study.one_file)
        if 0 < together < _APART * sum(point.bytes for point in study.points):
            several = f"{name}, {ONE_FOR_ALL}"
            draw(study.one_file, several, color=colour, marker="s", linestyle="--", linewidth=1.2)
    limits = plot_limits(studies)
    axes.set_xscale("log")
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bits per pixel of whole files")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(shown_name(title), fontsize=10)
    axes.grid(visible=True, which="both", alpha=0.3, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8)
    file = io.BytesIO()
    with warnings.catch_warnings():  # names may have letters that the font lacks
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def plot_limits(
    studies: Sequence[tuple[str, RateStudy]],
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The range of bits per pixel around our points, and the range of PSNR within it.

    Rivals' curves continue beyond it: they reach rates that a tokenizer's files do not.
    """
    own = [point for _, study in studies for point in (*study.points, *study.one_file)]
    rates = [point.bits_per_pixel for point in own]
    low, high = min(rates) / _AROUND, max(rates) * _AROUND
    seen = [point.psnr_db for point in own]
    for curve in studies[0][1].curves.values():
        points = sorted((point.bits_per_pixel, point.psnr_db) for point in curve)
        seen += [psnr for rate, psnr in points if low <= rate <= high]
        for (x0, y0), (x1, y1) in pairwise(points):  # where a curve enters and leaves
            seen += [log_linear(x, (x0, y0), (x1, y1)) for x in (low, high) if x0 < x < x1]
    finite = [psnr for psnr in seen if math.isfinite(psnr)] or [0.0]
    margin = max(0.5, 0.05 * (max(finite) - min(finite)))
    return (low, high), (min(finite) - margin, max(finite) + margin)


def shown_name(name: str) -> str:
    """A name escaped for matplotlib, which reads formulas between dollar signs."""
    return printable(name).replace("$", r"\$")
