"""The static model: the counts of training codes, kept as integers in the run's folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.coder import Decoder, Encoder
from vocabula.codec.layout import ModelId
from vocabula.codec.models import Prices, StreamModel, short_hash
from vocabula.codec.span import Block, Codes
from vocabula.codec.table import Table
from vocabula.tokenizers.code_statistics import CodeStatistics

PIECE = 512
"""Codes that choose their table together."""


class StaticModel(StreamModel):
    """Each book's codes by the counts of training codes, whatever their neighbours.

    ::

        p(k) = (2 count_k + 1) / sum_j (2 count_j + 1), in 24 bits: see `Table`

    Half a count more, so that a code which training never chose can be written. Where codes are
    unlike the training codes, those of a piece of the stream are coded with equal probabilities
    instead, if that is shorter; one bit a piece says so.

    Args:
        statistics: counts of the tokenizer's codes.
        piece: codes of a piece; None makes one of each stream, as the first files had it.

    Source: Krichevsky & Trofimov 1981, "The performance of universal encoding", for the half.
    """

    id = ModelId.STATIC

    def __init__(self, statistics: CodeStatistics, piece: int | None = PIECE) -> None:
        self.books, self._piece = statistics.symbols, piece
        self._choice = Table(np.ones(2, np.int64))
        self._tables = [
            (Table(2 * counts + 1), Table(np.ones_like(counts))) for counts in statistics.counts
        ]
        name = b"static" if piece is None else b"static %d" % piece
        learned = (table.cumulative.astype("<u4").tobytes() for table, _ in self._tables)
        self.hash = short_hash(name, *learned)

    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        codes = block.codes[stream]
        choices = self._chosen(codes, stream)
        encoder.table(choices, self._choice)
        for choice, part in self._parts(choices, len(codes)):
            encoder.table(codes[part], self._tables[stream][choice])

    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        count = block.positions(stage)
        choices = decoder.table(len(self._starts(count)), self._choice)
        tables = self._tables[stream]
        return np.concatenate(
            [
                decoder.table(part.stop - part.start, tables[choice])
                for choice, part in self._parts(choices, count)
            ]
        )

    def _bits(self, block: Block, stage: int, stream: int) -> float:
        codes = block.codes[stream]
        choices = self._chosen(codes, stream)
        tables = self._tables[stream]
        parts = self._parts(choices, len(codes))
        return len(choices) + sum(tables[choice].bits(codes[part]) for choice, part in parts)

    def prices(self, block: Block, stage: int, stream: int) -> Prices | None:
        """See `EntropyModel.prices`: those of the counts, for every position."""
        row = (self._tables[stream][0].prices / 2**16).astype(np.float32)
        count = block.positions(stage)
        return lambda rows: np.broadcast_to(row, (len(range(count)[rows]), len(row)))

    def _starts(self, count: int) -> NDArray[np.int64]:
        """Where the pieces of `count` codes begin."""
        return np.arange(0, count, self._piece or count)

    def _chosen(self, codes: Codes, stream: int) -> Codes:
        """For each piece 1 where equal probabilities are cheaper, else 0."""
        learned, equal = self._tables[stream]
        saved = (learned.prices - equal.prices)[codes]
        return (np.add.reduceat(saved, self._starts(len(codes))) > 0).astype(np.uint32)

    def _parts(self, choices: Codes, count: int) -> Iterator[tuple[int, slice]]:
        """Neighbouring pieces of the same choice together."""
        ends = np.flatnonzero(np.diff(choices)) + 1
        bounds = [0, *ends.tolist(), len(choices)]
        piece = self._piece or count
        for first, after in itertools.pairwise(bounds):
            yield int(choices[first]), slice(first * piece, min(after * piece, count))
