"""The search for codes whose bits differ from position to position, in a metric of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.product import ProductQuantizer
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.quantizers.vector import VectorQuantizer

BEAM = 4
"""Partial sums of residual stages that are kept."""


def searches(quantizer: Quantizer) -> bool:
    """Whether `cheapest` knows a quantizer: codebooks, their sums, and such side by side."""
    if isinstance(quantizer, ProductQuantizer):
        return all(map(searches, quantizer.parts))
    stages = quantizer.stages if isinstance(quantizer, ResidualQuantizer) else [quantizer]
    return all(isinstance(stage, VectorQuantizer) for stage in stages)


def cheapest(
    quantizer: Quantizer, target: Tensor, metric: Tensor, penalties: Sequence[Tensor]
) -> Tensor:
    """Codes (n, books) of the least ``(z - v)^T M (z - v) + sum_b penalty_b``.

    The sums of residual stages are found by a beam of `BEAM`, parts side by side one by one, each
    with its own block of M.

    Args:
        quantizer: one that `searches` knows.
        target: z (n, D).
        metric: M (D, D), positive definite.
        penalties: (n, K) of each book, what each code costs at each position.
    """
    if not isinstance(quantizer, ProductQuantizer):
        return _sums(quantizer, target, metric, penalties)
    found, first, book = [], 0, 0
    for part in quantizer.parts:
        own, books = slice(first, first + part.dim), slice(book, book + part.books)
        found.append(cheapest(part, target[:, own], metric[own, own], penalties[books]))
        first, book = own.stop, books.stop
    return torch.cat(found, 1)


def _sums(
    quantizer: Quantizer, target: Tensor, metric: Tensor, penalties: Sequence[Tensor]
) -> Tensor:
    """As `cheapest`, for a codebook or a sum of codebooks."""
    residual = isinstance(quantizer, ResidualQuantizer)
    stages = quantizer._placed() if isinstance(quantizer, ResidualQuantizer) else [quantizer]
    fold = torch.linalg.cholesky(metric)  # ||C^T z||^2 = z^T M z
    left = (target @ fold)[:, None]
    codes, paid = torch.zeros_like(left[..., :0], dtype=torch.int64), torch.zeros_like(left[..., 0])
    for stage, penalty in zip(stages, penalties, strict=True):
        every = torch.arange(penalty.shape[1], device=target.device)
        book = stage._decode(every) @ fold
        costs = left.square().sum(-1, keepdim=True) - 2 * left @ book.T + book.square().sum(-1)
        costs = (costs + penalty[:, None] + paid[..., None]).flatten(1)
        kept = min(BEAM if residual else 1, costs.shape[1])
        best = costs.topk(kept, 1, largest=False).indices
        row, code = best // len(every), best % len(every)
        left = left.gather(1, row[..., None].expand(-1, -1, left.shape[-1])) - book[code]
        paid = paid.gather(1, row) + penalty.gather(1, code)
        before = codes.gather(1, row[..., None].expand(-1, -1, codes.shape[-1]))
        codes = torch.cat([before, code[..., None]], -1)
    best = (left.square().sum(-1) + paid).argmin(1)
    return codes.gather(1, best[:, None, None].expand(-1, -1, codes.shape[-1]))[:, 0]
