"""Cheap measurements at every training step, and their means between two log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.functional.statistics import perplexity
from vocabula.tokenizers import CodeLevel
from vocabula.types import Reconstruction, UsageReport

_COUNTED_DENSELY = 1 << 16


@torch.no_grad()
def book_perplexities(codes: Tensor, codebook_sizes: Sequence[int]) -> Tensor:
    """Perplexity of each book's codes in one batch.

    Args:
        codes: (*batch) or (*batch, books) int64; negative codes mark stages left out.
        codebook_sizes: K of each book.

    Returns:
        (books,), exp of the entropy of the code histogram in nats.
    """
    columns = codes.reshape(-1, len(codebook_sizes)).unbind(-1)
    figures = []
    for column, size in zip(columns, codebook_sizes, strict=True):
        if size <= _COUNTED_DENSELY:
            # one spare count in front takes the negative codes, without a data-dependent shape
            counts = torch.bincount(column.clamp_min(-1) + 1, minlength=size + 1)[1:]
        else:
            counts = column[column >= 0].unique(return_counts=True)[1]
        figures.append(perplexity(counts))
    return torch.stack(figures)


def code_figures(levels: Sequence[CodeLevel], codes: Sequence[Tensor]) -> dict[str, Tensor]:
    """``perplexity`` of one batch, each (): the mean over all books, and that of each level.

    Args:
        levels: the levels of codes.
        codes: the codes of each level; continuous bottlenecks are left out.
    """
    books = {
        level.prefix: book_perplexities(code, level.codebook_sizes)
        for level, code in zip(levels, codes, strict=True)
        if level.codebook_sizes and code.numel()
    }
    if not books:
        return {}
    figures = {"perplexity": torch.cat(list(books.values())).mean()}
    return figures | {f"{prefix}perplexity": book.mean() for prefix, book in books.items()}


def usage_figures(reports: Mapping[str, UsageReport]) -> dict[str, float]:
    """Figures of the usage window: over all books, and of each level under its prefix.

    Args:
        reports: the report of each level that has one, by its prefix.
    """
    if not reports:
        return {}
    figures = _usage("", list(reports.values()))
    for prefix, report in reports.items():
        figures |= _usage(prefix, [report])
    return figures


def _usage(prefix: str, reports: Sequence[UsageReport]) -> dict[str, float]:
    def joined(name: str) -> Tensor:
        return torch.cat([getattr(report, name) for report in reports])

    return {
        f"{prefix}usage": float(joined("usage").mean()),
        f"{prefix}window_perplexity": float(joined("perplexity").mean()),
        f"{prefix}dead": int(joined("dead").sum()),
        f"{prefix}largest_share": float(joined("largest_share").max()),
        f"{prefix}norm_ratio": float(joined("norm_ratio").mean()),
    }


@torch.no_grad()
def step_figures(result: Reconstruction, mask: Tensor | None = None) -> dict[str, Tensor]:
    """The figures of one forward pass, each ().

    Args:
        result: what the tokenizer returned.
        mask: (B, *extent) bool, which the tokenizer had: outside, output and target are 0.

    Returns:
        ``loss``, ``mse`` (in the units of the signals) and ``losses/NAME`` for every term.
    """
    error = result.output.detach().to(result.target.dtype) - result.target
    if mask is None:
        mse = error.square().mean()
    else:
        mse = error.square().sum() / (mask.sum() * error.shape[1]).clamp_min(1)
    figures = {"loss": result.loss.detach(), "mse": mse}
    for name, value in result.losses.items():
        figures[f"losses/{name}"] = value.detach().float().mean()
    return figures


class Meter:
    """Sums of step figures, kept on their device so that no step waits for them."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Take in the figures of one step, each ()."""
        for name, value in figures.items():
            total = self._sums.get(name)
            value = value.double() if value.device.type != "mps" else value.float()
            self._sums[name] = value if total is None else total + value
        self.count += 1

    def means(self) -> dict[str, float]:
        """The mean of every figure over the steps since the last `reset`."""
        if not self.count:
            return {}
        stacked = (torch.stack(list(self._sums.values())) / self.count).tolist()
        return dict(zip(self._sums, stacked, strict=True))

    def reset(self) -> None:
        """Start over."""
        self.count = 0
        self._sums = {}

    def state(self) -> dict[str, Any]:
        """Count and sums, for a checkpoint."""
        return {"count": self.count, "sums": {k: float(v) for k, v in self._sums.items()}}

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from a captured state."""
        self.count = int(state["count"])
        dtype = torch.float64 if device.type != "mps" else torch.float32
        self._sums = {
            name: torch.tensor(value, dtype=dtype, device=device)
            for name, value in state["sums"].items()
        }
