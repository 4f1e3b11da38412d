"""The interface of entropy models, a base that codes streams in turn, and the simplest model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.coder import Decoder, Encoder, new_decoder, new_encoder
from vocabula.codec.header import MODEL_HASH, Header, ModelName
from vocabula.codec.layout import ModelId
from vocabula.codec.span import Block, Codes

Prices = Callable[[slice], NDArray[np.float32]]
"""Bits (n, K) of every code at the positions of a slice of a stream."""


def short_hash(*parts: bytes) -> bytes:
    """The bytes by which a file names a model: the first of `long_hash`."""
    return long_hash(parts)[:MODEL_HASH]


def long_hash(parts: Iterable[bytes]) -> bytes:
    """SHA-256 over parts, each as its length in 8 bytes and its bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()


class EntropyModel(ABC):
    """Turns the codes of one stage of a segment into bytes and back, each segment by itself.

    A model may look at everything that a decoder knows: the sizes of all grids, and the stages
    before. It may code signals and positions in any order. Several threads may use it at once.

    Attributes:
        id: its kind.
        hash: 8 bytes that differ if the probabilities do.
        books: K of each stream that it has learned; None if it serves any.
        joins: whether its files have all books of a level in one stage; by default each residual
            stage is stored separately.
    """

    id: ClassVar[ModelId]
    joins: ClassVar[bool] = False
    hash: bytes
    books: tuple[int, ...] | None = None

    @property
    def name(self) -> ModelName:
        """How files name it."""
        return ModelName(int(self.id), self.hash)

    def serves(self, books: tuple[int, ...]) -> bool:
        """Whether it codes streams of these K: all that it has learned, or the first of them."""
        return self.books is None or self.books[: len(books)] == books

    def attachments(self) -> Mapping[int, bytes]:
        """Attachments that it adds to the header of its files."""
        return {}

    def refusal(self, grids: Sequence[tuple[int, ...]]) -> str:
        """Why it cannot code a signal with these grids, one per stage; "" if it can."""
        return ""

    def memory(self, block: Block, stage: int) -> int:
        """About how many bytes decoding a stage takes, besides its codes."""
        return 0

    def hint(self, header: Header) -> str:
        """What to do if the codes of an undamaged file do not come back; "" if unknown."""
        return ""

    @abstractmethod
    def encode(self, block: Block, stage: int) -> bytes:
        """The bytes of a stage.

        Args:
            block: a segment with the codes of this stage and of those before, all below K.
            stage: which one.
        """

    @abstractmethod
    def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        """The codes (positions,) of each stream of a stage, all below K.

        Args:
            block: a segment with the codes of the stages before.
            stage: which one.
            content: the bytes from `encode`; any other bytes may give any codes.

        Raises:
            CodecError: no encoder writes these bytes.
        """

    @abstractmethod
    def bits(self, block: Block, stage: int) -> float:
        """The cross-entropy of a stage: -sum log2 p(code), what an ideal coder needs."""

    def prices(self, block: Block, stage: int, stream: int) -> Prices | None:
        """What every code would cost at each position of a stream, all others being as they are.

        None for a model that cannot tell before it codes; a search then counts codes itself.

        Args:
            block: a segment with the codes of all streams.
            stage: the stream's stage.
            stream: its place among all.
        """
        return None


class StreamModel(EntropyModel):
    """A model that codes one stream after another, with one range coder message per stage.

    A book of one codeword takes no part in the message.
    """

    def encode(self, block: Block, stage: int) -> bytes:
        """See `EntropyModel.encode`."""
        encoder = new_encoder()
        for stream, symbols in zip(block.streams(stage), block.books[stage], strict=True):
            if symbols > 1:
                self._write(encoder, block, stage, stream)
        return encoder.content()

    def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        """See `EntropyModel.decode`."""
        decoder = new_decoder(content)
        known = Block(block.books, block.grids, list(block.codes))
        for stream, symbols in zip(block.streams(stage), block.books[stage], strict=True):
            if symbols > 1:
                known.codes.append(self._read(decoder, known, stage, stream))
            else:
                known.codes.append(np.zeros(block.positions(stage), np.uint32))
        decoder.end()
        return known.codes[len(block.codes) :]

    def bits(self, block: Block, stage: int) -> float:
        """See `EntropyModel.bits`."""
        streams = zip(block.streams(stage), block.books[stage], strict=True)
        return sum(self._bits(block, stage, stream) for stream, symbols in streams if symbols > 1)

    @abstractmethod
    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        """Append the codes of a stream to the message."""

    @abstractmethod
    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        """The codes of the next stream; `block` has those of all streams before."""

    @abstractmethod
    def _bits(self, block: Block, stage: int, stream: int) -> float:
        """The cross-entropy of a stream."""
