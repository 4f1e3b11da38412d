"""How close compressed signals are to the originals, measured on a few of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.evaluation.metrics import METRICS
from vocabula.pipelines.fidelity import without
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

MOST_VALUES = 2**22
"""Most values of a file that are decoded."""


class SignalFidelity:
    """The mean squared error of compressed signals, in terms of their variance.

    Decoding may take as long as encoding, so at most `MOST_VALUES` values of each file are decoded,
    in whole signals that are spread evenly over it.

    Attributes:
        figures: see the `Fidelity` of the kind of signal; empty before.
        share: fraction of the signals that were measured.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float | int | None] = {}
        self.share = 0.0
        self._seen = self._measured = 0
        self._parts: list[tuple[Tensor, list[Tensor]]] = []

    @property
    def words(self) -> str:
        """The result for the last line of a command; empty where nothing was measured."""
        if not self.figures:
            return ""
        relative = self.figures["mse_over_variance"]
        mse = f"MSE {self.figures['mse']:.4g}"
        return f"{mse if relative is None else f'MSE / variance {relative:.4g}'}{self.about}"

    @property
    def about(self) -> str:
        """On how many signals it was measured, if not on all."""
        return "" if self._measured == self._seen else f" (on {self.share:.1%} of them)"

    def begin(self, tokenizer: SignalTokenizer, count: int) -> None:
        """Say how many signals the next file has."""
        if not self._seen:
            self._tokenizer = tokenizer
            self._figures = METRICS.of(tokenizer.signal.kind).measuring(tokenizer.signal)
        self._count, self._at, self._parts = count, 0, []

    def look(self, x: Tensor, levels: Sequence[Tensor]) -> None:
        """Keep some signals of a batch (B, C, *extent), and their codes."""
        most = max(1, min(self._count, MOST_VALUES // x[0].numel()))
        ends = (torch.arange(self._at, self._at + len(x) + 1) * most) // self._count
        chosen = (ends[1:] > ends[:-1]).nonzero()[:, 0]
        self._at += len(x)
        if len(chosen):
            codes = [level[chosen.to(level.device)].cpu() for level in levels]
            self._parts.append((x[chosen], codes))

    def finish(self, left: int) -> None:
        """Decode what was kept of the file.

        Args:
            left: how many streams of codes the file holds.
        """
        for x, codes in self._parts:
            with inference(self._tokenizer) as device:
                cut = [level.to(device) for level in without(codes, left, self._tokenizer)]
                shown = self._tokenizer.decode(cut, size=x.shape[2:])
                self._figures.add(shown.cpu(), self._tokenizer.signal.to_values(x))
            self._measured += len(x)
        self._seen, self._parts = self._seen + self._at, []
        self.figures = dict(self._figures.figures())
        self.share = self._measured / self._seen
