"""The static model: the counts of training codes, kept as integers in the run's folder."""

from __future__ import annotations

import numpy as np

from vocabula.codec.coder import Decoder, Encoder
from vocabula.codec.layout import ModelId
from vocabula.codec.models import StreamModel, short_hash
from vocabula.codec.segment import Block, Codes
from vocabula.codec.statistics import CodeStatistics
from vocabula.codec.table import Table


class StaticModel(StreamModel):
    """Each book's codes by the counts of training codes, whatever their neighbours.

    ::

        p(k) = (2 count_k + 1) / sum_j (2 count_j + 1), in 24 bits: see `Table`

    Half a count more, so that a code which training never chose can be written. A stream whose
    codes are unlike the training codes is coded with equal probabilities instead, where that is
    shorter; one bit before it says so.

    Args:
        statistics: counts of the tokenizer's codes.

    Source: Krichevsky & Trofimov 1981, "The performance of universal encoding", for the half.
    """

    id = ModelId.STATIC

    def __init__(self, statistics: CodeStatistics) -> None:
        self.books = statistics.symbols
        self._choice = Table(np.ones(2, np.int64))
        self._tables = [
            (Table(2 * counts + 1), Table(np.ones_like(counts))) for counts in statistics.counts
        ]
        self.hash = short_hash(
            b"static", *(learned.cumulative.astype("<u4").tobytes() for learned, _ in self._tables)
        )

    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        codes = block.codes[stream]
        choice = self._chosen(codes, stream)
        encoder.table(np.array([choice], np.uint32), self._choice)
        encoder.table(codes, self._tables[stream][choice])

    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        choice = int(decoder.table(1, self._choice)[0])
        return decoder.table(block.positions(stage), self._tables[stream][choice])

    def _bits(self, block: Block, stage: int, stream: int) -> float:
        codes = block.codes[stream]
        return 1 + self._tables[stream][self._chosen(codes, stream)].bits(codes)

    def _chosen(self, codes: Codes, stream: int) -> int:
        """1 where equal probabilities are cheaper."""
        learned, equal = self._tables[stream]
        return int(equal.price(codes) < learned.price(codes))
