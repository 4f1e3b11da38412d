"""The adaptive model: integer counts in the contexts of neighbouring codes, learning as it goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabula.codec import native
from vocabula.codec.adaptive_steps import decode_steps, encode_steps
from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel, short_hash
from vocabula.codec.segment import Block, Codes
from vocabula.codec.statistics import CodeStatistics
from vocabula.codec.table import words_of
from vocabula.codec.tree import bits_of, own_tables, slots_for
from vocabula.errors import CodecError

__all__ = ["AdaptiveModel", "Layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One stream of a segment, as the adaptive coder sees it.

    Attributes:
        grids: (runs, 3) int64: count, height and width.
        symbols: K.
        own: what `own_tables` gave.
        own_seen: what `own_tables` gave.
        before: ranks of the stream before at the same places, or None.
        earlier: ranks of the stream before that, or None.
    """

    grids: NDArray[np.int64]
    symbols: int
    own: NDArray[np.uint32]
    own_seen: NDArray[np.uint16]
    before: Codes | None
    earlier: Codes | None

    @property
    def positions(self) -> int:
        """Codes."""
        return int(self.grids.prod(1).sum())

    @property
    def bits(self) -> int:
        """Decisions to a code."""
        return bits_of(self.symbols)

    @property
    def slots(self) -> int:
        """Size of the hash table of the contexts."""
        return slots_for(self.positions)


class AdaptiveModel(EntropyModel):
    """Binary decisions down a tree of the codes, each mixed from what five histories say.

    ::

        stretch(p) = ln(p / (1 - p))
        stretch(p) = w_0 stretch(p_0) + sum_c w_c[n_c] (stretch(p_c) - stretch(p_0))

    p_0 is the node's own history, p_c its history in a context c of neighbouring codes, which has
    been seen n_c times: the code to the left; the one above; both, in 17 classes each; both,
    exactly. In a second book the last two are the book before at the same place, alone and with
    the two classes; in later books with the book before that. A context that is new at a node takes
    over p_0, and learns from there. The weights learn too, by the gradient of the code length.

    All of it is integer arithmetic, with tables that integers made: the same bytes on every
    machine. Nothing is stored in the file. Given `statistics`, the histories begin with the counts
    of training codes, and the tree has similar codes side by side, so that what is learned of one
    serves the other.

    Args:
        statistics: of the tokenizer's codes; None begins with all codes alike.

    Source: logistic mixing: Mahoney 2005, "Adaptive weighing of context models for lossless data
    compression"; weights by how much a context has seen, and new contexts that inherit: ours.
    """

    id = ModelId.ADAPTIVE

    def __init__(self, statistics: CodeStatistics | None = None) -> None:
        self._statistics = statistics
        self.hash = short_hash(b"adaptive", statistics.digest() if statistics else b"")
        self._starts: dict[tuple[int, int], tuple[NDArray[np.uint32], NDArray[np.uint16]]] = {}

    def encode(self, block: Block, stream: int) -> bytes:
        """See `EntropyModel.encode`."""
        return self._encode(block, stream)[0]

    def bits(self, block: Block, stream: int) -> float:
        """See `EntropyModel.bits`."""
        widths = self._encode(block, stream, traced=True)[1]
        return float((24 - np.log2(widths.astype(np.float64))).sum())

    def decode(self, block: Block, stream: int, content: bytes) -> Codes:
        """See `EntropyModel.decode`."""
        words = words_of(content)
        layer = self._layer(block, stream)
        if layer.bits == 0:
            if len(words):
                raise CodecError(
                    "codes: expected no bytes for a book of one codeword, got some; the file is "
                    "damaged, compress the original again"
                )
            return np.zeros(layer.positions, np.uint32)
        ranks = (
            native.decode_adaptive(layer, words)
            if native.available()
            else decode_steps(layer, words)
        )
        if self._statistics is None:
            return ranks
        return self._statistics.orders[stream][ranks]

    def _encode(
        self, block: Block, stream: int, *, traced: bool = False
    ) -> tuple[bytes, NDArray[np.uint32]]:
        """The bytes, and the widths in 2^24 of the decisions' outcomes."""
        codes, symbols = block.codes[stream], block.symbols[stream]
        if codes.size and int(codes.max()) >= symbols:
            raise CodecError(
                f"codes: expected values below {symbols}, got {int(codes.max())}; "
                "use the codes of this tokenizer"
            )
        layer = self._layer(block, stream)
        if layer.bits == 0:
            return b"", np.zeros(0, np.uint32)
        ranks = self._ranks(stream, codes)
        code = native.encode_adaptive if native.available() else encode_steps
        words, widths = code(layer, ranks, traced=traced)
        return words.astype("<u4", copy=False).tobytes(), widths

    def _ranks(self, stream: int, codes: Codes) -> Codes:
        """Places of codes in the tree."""
        if self._statistics is None:
            return np.ascontiguousarray(codes, np.uint32)
        return self._statistics.ranks[stream][codes]

    def _layer(self, block: Block, stream: int) -> Layer:
        grids = block.grids[stream]
        # Streams of other grids, as another level of a hierarchy has, say nothing place by place.
        same = [s for s in range(stream - 1, max(-1, stream - 3), -1) if block.grids[s] == grids]
        near = [self._ranks(s, block.codes[s]) for s in same] if same[:1] == [stream - 1] else []
        symbols = block.symbols[stream]
        return Layer(
            np.array([(count, *grid) for count, grid in grids], np.int64),
            symbols,
            *self._start(stream, symbols),
            *[*near, None, None][:2],
        )

    def _start(self, stream: int, symbols: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        key = (stream if self._statistics else 0, symbols)
        if key not in self._starts:
            if self._statistics is None:
                counts = np.zeros(symbols, np.int64)
            else:
                counts = self._statistics.counts[stream][self._statistics.orders[stream]]
            self._starts[key] = own_tables(counts)
        return self._starts[key]
