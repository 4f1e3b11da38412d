"""The static model: the counts of training codes, kept as integers in the run's folder."""

from __future__ import annotations

import numpy as np

from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel, short_hash
from vocabula.codec.segment import Block, Codes
from vocabula.codec.statistics import CodeStatistics
from vocabula.codec.table import Table, choice_of

_CHOICE_BITS = 1


class StaticModel(EntropyModel):
    """Each book's codes by the counts of training codes, whatever their neighbours.

    ::

        p(k) = (2 count_k + 1) / sum_j (2 count_j + 1), in 24 bits: see `Table`

    Half a count more, so that a code which training never chose can be written. A segment whose
    codes are unlike the training codes is coded with equal probabilities instead, where that is
    shorter; one bit says so.

    Args:
        statistics: counts of the tokenizer's codes.

    Source: Krichevsky & Trofimov 1981, "The performance of universal encoding", for the half.
    """

    id = ModelId.STATIC

    def __init__(self, statistics: CodeStatistics) -> None:
        self._tables = [
            (Table(2 * counts + 1), Table(np.ones_like(counts))) for counts in statistics.counts
        ]
        self.hash = short_hash(
            b"static", *(learned.cumulative.astype("<u4").tobytes() for learned, _ in self._tables)
        )

    def encode(self, block: Block, stream: int) -> bytes:
        """See `EntropyModel.encode`."""
        codes = block.codes[stream]
        contents = [
            table.encode(codes, choice, _CHOICE_BITS)
            for choice, table in enumerate(self._tables[stream])
        ]
        return min(contents, key=len)

    def decode(self, block: Block, stream: int, content: bytes) -> Codes:
        """See `EntropyModel.decode`."""
        choice = choice_of(content, _CHOICE_BITS)
        table = self._tables[stream][choice]
        return table.decode(content, block.positions(stream), choice, _CHOICE_BITS)

    def bits(self, block: Block, stream: int) -> float:
        """See `EntropyModel.bits`."""
        if block.symbols[stream] == 1:
            return 0.0
        codes = block.codes[stream]
        return _CHOICE_BITS + min(table.bits(codes) for table in self._tables[stream])
