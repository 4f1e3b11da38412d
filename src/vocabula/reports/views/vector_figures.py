"""The error of vectors by book, and the real vectors nearest to codewords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.evaluation.metrics.squared_errors import Spread
from vocabula.evaluation.result import Evaluation
from vocabula.quantizers import ResidualQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_level import quantizers_of

MOST_CODEWORDS = 32
"""Codewords whose nearest vectors are shown, the most used of the first book."""


NEAREST = 3
"""Vectors shown for each codeword."""


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
