"""Several tokenizers on the same signals: one table, and one page that shows them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.data import Source
from vocabula.errors import OptionError, plural
from vocabula.evaluation.measurement import evaluate
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.metrics.base import in_form
from vocabula.evaluation.result import Evaluation
from vocabula.files import check_new_file, new_file
from vocabula.reports.page import render, versions
from vocabula.reports.plots import points
from vocabula.reports.views import VIEWS
from vocabula.tokenizers import SignalTokenizer

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Compared:
    """One of several tokenizers.

    Attributes:
        name: how it is called, such as its folder.
        figures: its measured figures.
        parameters: number of values that it learned.
        fingerprint: the hash that identifies it.
    """

    name: str
    figures: Evaluation
    parameters: int
    fingerprint: str

    def cells(self) -> tuple[str, ...]:
        """The row of the table, in the order of `columns`; a VAE has no codes."""
        found = self.figures
        chosen = METRICS.of(found.signal.kind).columns
        return (
            self.name,
            f"{self.parameters:,}",
            in_form(found.code_bits, ".3f"),
            *(in_form(found.fidelity[key], form) for key, _, form in chosen),
            in_form(found.usage, ".1%"),
            in_form(found.perplexity, ".1f"),
        )

    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        signal = self.figures.signal
        close = (label for _, label, _ in METRICS.of(signal.kind).columns)
        return ("run", "parameters", f"code bits/{signal.unit}", *close, "usage", "perplexity")

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        about = {
            "run": self.name,
            "fingerprint": self.fingerprint,
            "parameters": self.parameters,
        }
        return {**about, **self.figures.to_dict()}


def compare_tokenizers(
    tokenizers: Mapping[str, SignalTokenizer],
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Compared]:
    """Measure several tokenizers on the same signals.

    Args:
        tokenizers: at least two, by name.
        source: signals of the tokenizers' kind, with their number of channels.
        batch_size: most signals of a batch; None takes the source's own.
        limit: measure the first `limit` signals only.
        workers: threads that read ahead; None takes one for each core, 0 reads in this one.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError: there are fewer than two, or their channels differ.
        DataError: no image can be read, or the channels differ from the tokenizers'.
    """
    if len(tokenizers) < 2:
        raise OptionError(
            f"compare: expected two or more tokenizers, got {len(tokenizers)}; use evaluate for one"
        )
    channels = {
        name: f"{plural(tokenizer.channels, 'channel')} of {tokenizer.signal.plural}"
        for name, tokenizer in tokenizers.items()
    }
    if len(set(channels.values())) > 1:
        each = ", ".join(f"{count} in {name}" for name, count in channels.items())
        raise OptionError(
            f"compare: expected tokenizers of equal channels, got {each}; compare those that take "
            "the same data"
        )
    return [
        Compared(
            name,
            evaluate(
                tokenizer,
                source,
                batch_size=batch_size,
                limit=limit,
                workers=workers,
                progress=progress,
            ),
            sum(parameter.numel() for parameter in tokenizer.parameters()),
            tokenizer.fingerprint(),
        )
        for name, tokenizer in tokenizers.items()
    ]


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
    best = max(compared, key=lambda one: one.figures.fidelity[key] or 0.0)
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
