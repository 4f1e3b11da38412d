"""Bits of codes that training never saw, under the counts of the training codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabula.codec import CodeStatistics
from vocabula.codec.writer import CodedSignal


@dataclass(frozen=True, slots=True)
class CodeBits:
    """Mean bits of one code, over all books.

    A tokenizer that has learned its training pictures by heart shows it here, before it does in
    the error: held-out codes then take more bits than training codes.

    Attributes:
        fixed: at a fixed length, log2 K.
        training: entropy of the training codes.
        held_out: of the measured codes under the counts of the training codes, each with one more
            hit.
    """

    fixed: float
    training: float
    held_out: float


class CodeCounter:
    """Counts the codes of signals, book by book.

    Args:
        symbols: K of each book.
    """

    def __init__(self, symbols: Sequence[int]) -> None:
        self.counts = [np.zeros(size, np.int64) for size in symbols]

    def add(self, signal: CodedSignal) -> None:
        """Count the codes of a signal."""
        for counts, stream in zip(self.counts, signal.streams, strict=True):
            counts += np.bincount(np.asarray(stream).reshape(-1), minlength=len(counts))

    def bits(self, statistics: CodeStatistics) -> CodeBits:
        """The figures, beside those of the training codes."""
        pairs = list(zip(self.counts, statistics.counts, strict=True))
        own, learned = (sum(int(pair[i].sum()) for pair in pairs) for i in (0, 1))
        fixed = sum(math.log2(len(counts)) * int(counts.sum()) for counts, _ in pairs)
        held_out = sum(_cost(counts, known + 1) for counts, known in pairs)
        training = sum(_cost(known, known) for _, known in pairs)
        return CodeBits(fixed / max(own, 1), training / max(learned, 1), held_out / max(own, 1))


def _cost(counts: NDArray[np.int64], weights: NDArray[np.int64]) -> float:
    """Bits of codes of these counts, coded with probabilities in proportion to weights (K,)."""
    used = counts > 0
    shares = weights[used] / max(int(weights.sum()), 1)
    return float(-(counts[used] * np.log2(shares)).sum())
