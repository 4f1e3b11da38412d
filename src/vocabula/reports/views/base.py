"""The view of any kind of signal: tables of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from vocabula.data import Source
from vocabula.evaluation.batches import read_batches
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.result import Evaluation
from vocabula.reports.samples import Compared, DrawnRows
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

SHOWN_NUMBERS = 6
"""Values of a signal that a table shows, the first ones."""
LOOKED_AT = 2**14
"""Signals that tables are made from, the first of a source."""


class View:
    """Shows signals and codewords on a page; a kind of signal overrides what it shows better.

    Attributes:
        templates: of the sections that show the signals, included in order.
        sample_templates: of the sections that show samples of a prior.
        nearness: what is compared to find the nearest signals by their values.
    """

    templates: tuple[str, ...] = ("views/table.html.jinja",)
    sample_templates: tuple[str, ...] = ("views/samples.html.jinja",)
    nearness: str = "distance"

    def sections(
        self,
        tokenizer: SignalTokenizer,
        source: Source,
        result: Evaluation,
        *,
        examples: int,
        beside: Callable[..., Any] | None = None,
        progress: bool = False,
    ) -> dict[str, Any]:
        """The content of the templates.

        Args:
            tokenizer: the tokenizer.
            source: the signals that it was measured on.
            result: the figures.
            examples: how many signals are shown.
            beside: gives a signal in another format at equal size; None shows none.
            progress: show a progress bar on a terminal.
        """
        rows = self.errors(tokenizer, source, examples)
        note = f"The first {len(rows)} {tokenizer.signal.plural} of {result.data}, each by itself."
        columns = ["from", *(label for _, label, _ in METRICS.of(tokenizer.signal.kind).columns)]
        return {
            "table_title": "Reconstructions",
            "table_note": note,
            "table_columns": columns,
            "table_rows": rows,
        }

    def codewords(self, tokenizer: SignalTokenizer, result: Evaluation) -> dict[str, Any]:
        """Pictures of codewords, ``galleries`` with a ``gallery_note``; none unless overridden."""
        return {"galleries": [], "gallery_note": ""}

    def compared(
        self, tokenizers: Mapping[str, SignalTokenizer], source: Source, count: int
    ) -> list[Any]:
        """Examples with the reconstruction of each tokenizer; none unless overridden."""
        return []

    def samples(self, drawn: DrawnRows, compared: Sequence[Compared]) -> dict[str, Any]:
        """The content of `sample_templates`: by default a table.

        Args:
            drawn: the samples of a prior.
            compared: some of them, with the training signals nearest to them.
        """
        rows = [
            (
                str(one.number),
                drawn.row_of(one.number),
                _numbers(one.sample),
                f"{one.by_codes.path} ({one.by_codes.distance:.0%} differ)",
                f"{one.by_values.path} (RMSE {one.by_values.distance:.3g})",
            )
            for one in compared
        ]
        return {"sample_rows": rows}

    def errors(self, tokenizer: SignalTokenizer, source: Source, count: int) -> list[Sequence[str]]:
        """Where each of the first signals came from, and its own figures, as text."""
        fidelity, rows = METRICS.of(tokenizer.signal.kind), list[Sequence[str]]()
        with inference(tokenizer) as device:
            for batch in read_batches(source, batch_size=count, limit=count):
                x = tokenizer.signal.to_values(batch.values.to(device))
                condition = tokenizer.known(batch.attributes, source.names)
                output = tokenizer.reconstruct(x, condition=condition)
                for i, path in enumerate(batch.paths):
                    meter = fidelity.measuring(tokenizer.signal)
                    meter.add(output[i : i + 1], x[i : i + 1])
                    found = meter.figures()
                    cells = (
                        "-" if found[key] is None else format(found[key], form)
                        for key, _, form in fidelity.columns
                    )
                    rows.append((path, *cells))
        return rows


def first_signals(source: Source) -> tuple[torch.Tensor, list[str]]:
    """The first `LOOKED_AT` signals of equal size, (N, C, *extent), and where they came from."""
    values, paths = list[torch.Tensor](), list[str]()
    for batch in read_batches(source, limit=LOOKED_AT):
        values.append(batch.values)
        paths += batch.paths
    return torch.cat(values), paths


def _numbers(signal: torch.Tensor) -> str:
    """The first values of a signal."""
    values = signal.flatten().tolist()
    more = ", ..." if len(values) > SHOWN_NUMBERS else ""
    return ", ".join(f"{value:.3g}" for value in values[:SHOWN_NUMBERS]) + more
