"""The view of vectors: error by book, and the real vectors nearest to codewords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.data import Source
from vocabula.evaluation.metrics.base import Spread
from vocabula.evaluation.result import Evaluation
from vocabula.quantizers import ResidualQuantizer
from vocabula.reports.plots import Line, lines
from vocabula.reports.views.base import View, first_signals
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_level import quantizers_of
from vocabula.tokenizers.inference import inference

MOST_CODEWORDS = 32
"""Codewords whose nearest vectors are shown, the most used of the first book."""
NEAREST = 3
"""Vectors shown for each codeword."""


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


def error_by_prefix(tokenizer: SignalTokenizer, x: Tensor) -> list[float]:
    """MSE / variance of vectors (N, D) decoded with the first 1, 2, ... books alone.

    Only the codes of a residual quantizer can be decoded in part; of any other quantizer the list
    holds the error with all books.
    """
    if not tokenizer.levels[0].quantizer.discrete:
        return []
    (quantizer,) = quantizers_of(tokenizer.levels, "report", "leave the books out")
    codes = tokenizer.encode(x)
    assert isinstance(codes, Tensor), "vectors have one level"
    errors = []
    residual = isinstance(quantizer, ResidualQuantizer)
    books = len(quantizer.codebook_sizes)
    for count in range(1, books + 1) if residual else [books]:
        part = codes[:, :count] if residual else codes
        output = tokenizer.decode_values([quantizer.decode(part)], tokenizer.first_values(len(x)))
        spread = Spread()
        spread.add(output, x)
        errors.append(spread.mse / spread.variance if spread.variance > 0 else 0.0)
    return errors


def nearest_vectors(
    tokenizer: SignalTokenizer, result: Evaluation, x: Tensor, paths: Sequence[str]
) -> dict[str, Any]:
    """The vectors nearest to what the most used codewords of the first book decode to."""
    if not result.histograms:
        return {"nearest": [], "nearest_note": ""}
    histogram = result.histograms[0]
    codes, counts = histogram.ranked()
    codes = codes[:MOST_CODEWORDS]
    decoded = _decoded(tokenizer, codes, result)
    distances = torch.cdist(decoded.double().cpu(), x.double())
    found = distances.topk(min(NEAREST, len(x)), largest=False)
    rows = [
        {
            "code": code,
            "share": f"{count / histogram.total:.2%}",
            "vectors": ", ".join(
                f"{paths[place]} ({distance:.3g})"
                for place, distance in zip(places, near, strict=True)
            ),
        }
        for code, count, places, near in zip(
            codes.tolist(),
            counts[: len(codes)].tolist(),
            found.indices.tolist(),
            found.values.tolist(),
            strict=True,
        )
    ]
    several = len(result.histograms) > 1
    alone = "alone" if _residual(tokenizer) else "with the other books at their most used codeword"
    note = (
        f"The {len(rows)} most used codewords of the first book, decoded"
        f"{f' {alone}' if several else ''}, and the vectors nearest to them of the first {len(x)}, "
        "with their Euclidean distance."
    )
    return {"nearest": rows, "nearest_note": note}


def _residual(tokenizer: SignalTokenizer) -> bool:
    return isinstance(tokenizer.levels[0].quantizer, ResidualQuantizer)


def _decoded(tokenizer: SignalTokenizer, codes: Tensor, result: Evaluation) -> Tensor:
    """What codewords (n,) of the first book decode to, (n, D)."""
    (quantizer,) = quantizers_of(tokenizer.levels, "report", "leave the codewords out")
    if not quantizer.code_shape:
        joint = codes
    elif _residual(tokenizer):
        joint = codes[:, None]
    else:
        usual = [int(histogram.ranked()[0][0]) for histogram in result.histograms]
        joint = torch.tensor(usual).repeat(len(codes), 1)
        joint[:, 0] = codes
    device = next((b.device for b in tokenizer.buffers()), torch.device("cpu"))
    return tokenizer.decode_values(
        [quantizer.decode(joint.to(device))], tokenizer.first_values(len(joint))
    )


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
