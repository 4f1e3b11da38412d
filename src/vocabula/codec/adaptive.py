"""The adaptive model: integer counts in the contexts of neighbouring codes, learning as it goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.adaptive_stream import AdaptiveStream
from vocabula.codec.coder import Decoder, Encoder, new_encoder
from vocabula.codec.layout import ModelId
from vocabula.codec.models import StreamModel, short_hash
from vocabula.codec.span import Block, Codes
from vocabula.codec.tree import own_tables
from vocabula.tokenizers.code_statistics import CodeStatistics


class AdaptiveModel(StreamModel):
    """Binary decisions down a tree of the codes, each mixed from the predictions of five histories.

    ::

        stretch(p) = ln(p / (1 - p))
        stretch(p) = w_0 stretch(p_0) + sum_c w_c[n_c] (stretch(p_c) - stretch(p_0))

    p_0 is the node's own history, p_c its history in a context c of neighbouring codes, which has
    been seen n_c times: the code to the left; the one above; both, in 17 classes each; both,
    exactly. In a second book the last two contexts are the previous book's code at the same place,
    alone and with the two classes; in later books, alone and with the code of the book before that.
    A context that is new at a node starts from p_0 and learns from there. The weights learn too, by
    the gradient of the code length.

    All arithmetic and tables are integer, so the bytes are the same on every machine. Nothing is
    stored in the file. Given `statistics`, the histories begin with the counts of training codes,
    and the tree has similar codes side by side, so that what is learned about one serves the
    others.

    Args:
        statistics: counts of the tokenizer's codes; None begins with all codes equally likely.

    Source: logistic mixing: Mahoney 2005, "Adaptive weighing of context models for lossless data
    compression"; weights by how much a context has seen, and new contexts that inherit: ours.
    """

    id = ModelId.ADAPTIVE

    def __init__(self, statistics: CodeStatistics | None = None) -> None:
        self._statistics = statistics
        self.books = None if statistics is None else statistics.symbols
        self.hash = short_hash(b"adaptive", statistics.digest() if statistics else b"")
        self._starts: dict[tuple[int, int], tuple[NDArray[np.uint32], NDArray[np.uint16]]] = {}

    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        encoder.adaptive(
            self._ranks(stream, block.codes[stream]), self._stream(block, stage, stream)
        )

    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        ranks = decoder.adaptive(self._stream(block, stage, stream))
        return ranks if self._statistics is None else self._statistics.orders[stream][ranks]

    def _bits(self, block: Block, stage: int, stream: int) -> float:
        ranks, seen = self._ranks(stream, block.codes[stream]), self._stream(block, stage, stream)
        widths = new_encoder().adaptive(ranks, seen, traced=True)
        return float((24 - np.log2(widths.astype(np.float64))).sum())

    def _ranks(self, stream: int, codes: Codes) -> Codes:
        """Places of codes in the tree."""
        if self._statistics is None:
            return np.ascontiguousarray(codes, np.uint32)
        return self._statistics.ranks[stream][codes]

    def _stream(self, block: Block, stage: int, stream: int) -> AdaptiveStream:
        symbols = block.books[stage][stream - block.streams(stage).start]
        return AdaptiveStream(
            np.array([(count, *grid) for count, grid in block.grids[stage]], np.int64),
            symbols,
            *self._start(stream, symbols),
            *[*self._before(block, stage, stream), None, None][:2],
        )

    def _before(self, block: Block, stage: int, stream: int) -> list[Codes]:
        """Ranks of the one or two streams before, the nearer first.

        Streams on other grids, such as another level of a hierarchy, do not align and are left out.
        """
        whose = [number for number, books in enumerate(block.books) for _ in books]
        near: list[Codes] = []
        for before in range(stream - 1, max(-1, stream - 3), -1):
            if block.grids[whose[before]] != block.grids[stage]:
                break
            near.append(self._ranks(before, block.codes[before]))
        return near

    def _start(self, stream: int, symbols: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        key = (stream if self._statistics else 0, symbols)
        if key not in self._starts:
            if self._statistics is None:
                counts = np.zeros(symbols, np.int64)
            else:
                counts = self._statistics.counts[stream][self._statistics.orders[stream]]
            self._starts[key] = own_tables(counts)
        return self._starts[key]
