"""The view of vectors: error by book, and the real vectors nearest to codewords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vocabula.data import Source
from vocabula.evaluation.result import Evaluation
from vocabula.reports.plots import Line, lines
from vocabula.reports.views.base import View, first_signals
from vocabula.reports.views.vector_figures import error_by_prefix, nearest_vectors
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference


class VectorView(View):
    """Tables and plots of vectors (B, D)."""

    templates = ("views/vector.html.jinja", "views/table.html.jinja")

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
        """Error by prefix of books, nearest vectors of codewords, and errors of single vectors."""
        context = super().sections(tokenizer, source, result, examples=examples)
        vectors, paths = first_signals(source)
        with inference(tokenizer) as device:
            x = tokenizer.signal.to_values(vectors.to(device))
            prefixes = error_by_prefix(tokenizer, x)
            nearest = nearest_vectors(tokenizer, result, x.cpu(), paths)
        return {**context, **_books(result, prefixes, len(vectors)), **nearest}


def _books(result: Evaluation, prefixes: Sequence[float], count: int) -> dict[str, Any]:
    """Table and plot of the error that remains after each book."""
    if len(prefixes) < 2:
        return {"prefixes": [], "prefix_plot": "", "prefix_note": ""}
    before = [1.0, *prefixes]
    rows = [
        {
            "books": i + 1,
            "error": f"{error:.4f}",
            "explains": f"{before[i] - error:.2%}",
            "usage": f"{book.usage:.1%}",
        }
        for i, (error, book) in enumerate(zip(prefixes, result.books, strict=True))
    ]
    steps = list(range(len(before)))
    plot = lines(
        [Line("MSE / variance", steps, before)], x_label="books", y_label="MSE / variance", log=True
    )
    note = (
        f"The codes of the first books alone, decoded; over the first {count} vectors. Without a "
        "book the mean remains, an error of 1."
    )
    return {"prefixes": rows, "prefix_plot": plot, "prefix_note": note}
