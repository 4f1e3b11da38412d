"""The entropy model of codes that are all alike."""

from __future__ import annotations

import numpy as np

from vocabula.codec.coder import Decoder, Encoder
from vocabula.codec.layout import ModelId
from vocabula.codec.models import StreamModel, short_hash
from vocabula.codec.span import Block, Codes
from vocabula.codec.table import Table


class UniformModel(StreamModel):
    """All codes equally likely: log2 K bits each. Needs nothing; the baseline for the others."""

    id = ModelId.UNIFORM

    def __init__(self) -> None:
        self.hash = short_hash(b"uniform")
        self._tables: dict[int, Table] = {}

    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        encoder.table(block.codes[stream], self._table(block, stage, stream))

    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        return decoder.table(block.positions(stage), self._table(block, stage, stream))

    def _bits(self, block: Block, stage: int, stream: int) -> float:
        return self._table(block, stage, stream).bits(block.codes[stream])

    def _table(self, block: Block, stage: int, stream: int) -> Table:
        symbols = block.books[stage][stream - block.streams(stage).start]
        if symbols not in self._tables:
            self._tables[symbols] = Table(np.ones(symbols, np.int64))
        return self._tables[symbols]
