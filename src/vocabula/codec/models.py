"""What an entropy model is, and the simplest: all codes alike."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from vocabula.codec.header import MODEL_HASH, ModelName
from vocabula.codec.layout import ModelId
from vocabula.codec.segment import Block, Codes
from vocabula.codec.table import Table


def short_hash(*parts: bytes) -> bytes:
    """The bytes by which a file names a model: the first of a SHA-256 over lengths and parts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()[:MODEL_HASH]


class EntropyModel(ABC):
    """Turns the codes of one stream of a segment into bytes and back, each segment by itself.

    A model may look at everything that a decoder knows: the sizes of all grids, and the streams
    before. It may be used by several threads at once.

    Attributes:
        id: its kind.
        hash: 8 bytes that differ wherever the probabilities do.
    """

    id: ClassVar[ModelId]
    hash: bytes

    @property
    def name(self) -> ModelName:
        """How files name it."""
        return ModelName(int(self.id), self.hash)

    @abstractmethod
    def encode(self, block: Block, stream: int) -> bytes:
        """The bytes of a stream, a multiple of 4.

        Args:
            block: a segment with the codes of this stream and of those before.
            stream: which one.
        """

    @abstractmethod
    def decode(self, block: Block, stream: int, content: bytes) -> Codes:
        """The codes (positions,) of a stream.

        Args:
            block: a segment with the codes of the streams before.
            stream: which one.
            content: what `encode` gave; of any other bytes the codes may be any.

        Raises:
            CodecError: no encoder writes these bytes.
        """

    @abstractmethod
    def bits(self, block: Block, stream: int) -> float:
        """The cross-entropy of a stream: -sum log2 p(code), what an ideal coder needs."""


class UniformModel(EntropyModel):
    """Every code alike: log2 K bits each. Needs nothing, and is the measure of the others."""

    id = ModelId.UNIFORM

    def __init__(self) -> None:
        self.hash = short_hash(b"uniform")
        self._tables: dict[int, Table] = {}

    def encode(self, block: Block, stream: int) -> bytes:
        """See `EntropyModel.encode`."""
        return self._table(block.symbols[stream]).encode(block.codes[stream])

    def decode(self, block: Block, stream: int, content: bytes) -> Codes:
        """See `EntropyModel.decode`."""
        return self._table(block.symbols[stream]).decode(content, block.positions(stream))

    def bits(self, block: Block, stream: int) -> float:
        """See `EntropyModel.bits`."""
        return self._table(block.symbols[stream]).bits(block.codes[stream])

    def _table(self, symbols: int) -> Table:
        if symbols not in self._tables:
            self._tables[symbols] = Table(np.ones(symbols, np.int64))
        return self._tables[symbols]
