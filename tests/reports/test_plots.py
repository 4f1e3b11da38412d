"""Plots: their numbers are text, and take the page's colours."""

from __future__ import annotations

import re

from vocabula.reports.plots import Line, lines, ranked_usage


def labels(svg: str) -> set[str]:
    """What a plot says."""
    return set(re.findall(r"<text[^>]*>([^<]+)</text>", svg))


def test_logarithmic_axes_have_plain_numbers() -> None:
    said = labels(
        lines([Line("a", [0, 1], [0.002, 300])], x_label="step", y_label="loss", log=True)
    )
    assert {"0.01", "0.1", "1", "10", "100", "step", "loss"} <= said
    said = labels(
        lines([Line("a", [0, 1], [2e-6, 5e-6])], x_label="step", y_label="loss", log=True)
    )
    assert {"2e-06", "3e-06", "4e-06"} <= said  # no power of ten lies between


def test_many_codewords_are_ranked_on_two_logarithmic_axes() -> None:
    said = labels(ranked_usage([[10_000] * 5000], ["book"], [8192]))
    assert {"1", "10", "100", "1000", "10000"} <= said


def test_colours_are_those_of_the_page() -> None:
    svg = lines([Line("a", [0, 1], [0, 1])], x_label="x", y_label="y")
    assert "var(--plot-0)" in svg and "currentColor" in svg and "#0102" not in svg
