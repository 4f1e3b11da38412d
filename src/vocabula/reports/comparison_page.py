"""The page and the table that compare tokenizers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vocabula.data import Source
from vocabula.errors import OptionError
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.metrics.base import in_form
from vocabula.files import check_new_file, new_file
from vocabula.reports.page import render, versions
from vocabula.reports.plots import points
from vocabula.reports.views import VIEWS
from vocabula.tokenizers import SignalTokenizer

if TYPE_CHECKING:
    from rich.table import Table

from vocabula.reports.compare import Compared


def build_comparison(
    tokenizers: Mapping[str, SignalTokenizer],
    compared: Sequence[Compared],
    source: Source,
    out: str | os.PathLike[str],
    *,
    examples: int = 6,
    overwrite: bool = False,
) -> None:
    """Write a self-contained HTML page: the table, a plot, and examples side by side.

    Args:
        tokenizers: tokenizers by name.
        compared: the result of `compare_tokenizers` for them.
        source: the signals.
        out: the file to write.
        examples: how many signals are shown.
        overwrite: replace an existing file.

    Raises:
        OptionError: `examples` is below 1.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    if examples < 1:
        raise OptionError(f"examples: expected an integer >= 1, got {examples}")
    out = Path(out)
    check_new_file(out, overwrite=overwrite)
    rated = [one for one in compared if one.figures.code_bits is not None]
    first = compared[0].figures
    signal = first.signal
    key, label, form = METRICS.of(signal.kind).columns[0]
    name, _, unit = label.partition(", ")
    sign = -1 if METRICS.of(signal.kind).least_is_best else 1
    best = max(compared, key=lambda one: sign * (one.figures.fidelity[key] or 0.0))
    context = {
        "title": " and ".join(one.name for one in compared),
        "measured_on": first.data,
        "subtitle": f"measured on the same {signal.plural}, {first.count} of {first.data}",
        "tiles": [
            {
                "label": f"{name} of {one.name}",
                "value": in_form(one.figures.fidelity[key], form),
                "unit": unit,
            }
            for one in compared
        ],
        "columns_shown": compared[0].columns(),
        "rows": [one.cells() for one in compared],
        "plot": points(
            [one.name for one in rated],
            [one.figures.code_bits or 0.0 for one in rated],
            [one.figures.fidelity[key] or 0.0 for one in rated],
            x_label=f"code bits per {signal.unit}",
            y_label=label,
        ),
        "examples": VIEWS.of(signal.kind)().compared(tokenizers, source, examples),
        "versions": versions({}, best.fingerprint),
    }
    page = render("compare.html.jinja", context)
    with new_file(out, overwrite=overwrite) as draft:
        draft.write_text(page, encoding="utf-8")


def comparison_table(compared: Sequence[Compared], title: str) -> Table:
    """The figures as a `rich` table that fits 80 columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for place, name in enumerate(compared[0].columns()):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for one in compared:
        table.add_row(*map(Text, one.cells()))
    return table
