"""The figures of one level of codes, gathered while a tokenizer is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.evaluation.histogram import CodeHistogram, books_of
from vocabula.evaluation.usage import BookUsage, LevelUsage
from vocabula.tokenizers import CodeLevel
from vocabula.types import Quantized


class LevelMeter:
    """Counts the codes of one level, batch by batch, and averages its values, in float64.

    Args:
        level: the level of codes.

    Attributes:
        quantizer: its bottleneck.
        histograms: the counts of each book; none for a continuous bottleneck.
        bits: bits of all codes added, at a fixed length.
    """

    def __init__(self, level: CodeLevel) -> None:
        self.quantizer = level.quantizer
        self.histograms = [CodeHistogram(size) for size in level.codebook_sizes]
        self.bits = 0.0
        self._level = level
        self._positions = 0
        self._sum = torch.zeros(level.quantizer.dim, dtype=torch.float64)

    def add(self, found: Quantized) -> None:
        """Take in what passed through the level's bottleneck."""
        values = found.values.detach().reshape(-1, self._sum.numel())
        self._sum += values.sum(0).cpu().double()
        self._positions += len(values)
        self.bits += len(values) * self._level.bits
        if self.histograms:
            for histogram, book in zip(
                self.histograms, books_of(found.codes, len(self.histograms)), strict=True
            ):
                histogram.add(book)

    def books(self) -> list[BookUsage]:
        """The use of each book."""
        names = self._level.book_names()
        pairs = zip(names, self.histograms, strict=True)
        return [BookUsage.of(name, histogram) for name, histogram in pairs]

    def result(self, units: float) -> LevelUsage:
        """The figures of the level.

        Args:
            units: how many units, such as pixels, the original signals have.
        """
        books = self.books()
        count = max(len(books), 1)
        return LevelUsage(
            name=self._level.title,
            stride=self._level.stride,
            code_bits=self.bits / units,
            usage=sum(book.usage for book in books) / count,
            perplexity=sum(book.perplexity for book in books) / count,
        )

    def mean_values(self) -> Tensor:
        """(D,) the mean, in float32, of the values over all positions added."""
        return (self._sum / max(self._positions, 1)).float()
