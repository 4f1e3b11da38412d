"""The range coder in Python, with constriction, for when the compiled one was not built.

Tables are coded at constriction's speed; the adaptive model runs decision by decision through
`adaptive_steps`, about a thousand times slower than compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constriction
import numpy as np
from numpy.typing import NDArray

from vocabula.codec.adaptive_steps import TOTAL, Decide, run_steps
from vocabula.codec.pixel_steps import run_pixels
from vocabula.codec.rows import shares_of
from vocabula.codec.words import bad_words, bytes_of

if TYPE_CHECKING:
    from vocabula.codec.adaptive_stream import AdaptiveStream
    from vocabula.codec.pixel_steps import Scene
    from vocabula.codec.table import Table

Codes = NDArray[np.uint32]


class Encoder:
    """See `coder.Encoder`."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def table(self, codes: Codes, table: Table) -> None:
        """See `coder.Encoder.table`."""
        self._coder.encode(codes.astype(np.int32), constriction_table(table))

    def shares(self, starts: Codes, widths: Codes) -> None:
        """See `coder.Encoder.shares`."""
        for start, width in zip(starts.astype(np.int64), widths.astype(np.int64), strict=True):
            # A share is the middle one of three; an empty one before or after is left out.
            parts = np.array([start, width, TOTAL - start - width])
            model = _weighted(parts[parts > 0])
            if model is not None:
                self._coder.encode(int(start > 0), model)

    def adaptive(self, ranks: Codes, stream: AdaptiveStream, *, traced: bool = False) -> Codes:
        """See `coder.Encoder.adaptive`."""
        return self._decided(lambda decide: run_steps(stream, ranks.copy(), decide))

    def pixels(self, values: Codes, scene: Scene, *, traced: bool = False) -> Codes:
        """See `coder.Encoder.pixels`."""
        return self._decided(lambda decide: run_pixels(scene, values.copy(), decide))

    def _decided(self, run: Callable[[Decide], None]) -> Codes:
        """Run a model that knows its outcomes and append its decisions; returns their widths."""
        ones: list[int] = []
        outcomes: list[int] = []

        def decide(one: int, outcome: int) -> int:
            ones.append(one)
            outcomes.append(outcome)
            return outcome

        run(decide)
        return self.decisions(ones, outcomes)

    def decisions(self, ones: list[int], outcomes: list[int]) -> Codes:
        """Append decisions with probabilities of 1 in 2^24; returns the widths of the outcomes."""
        one, taken = np.array(ones, np.int64), np.array(outcomes, np.int32)
        self._coder.encode(taken, _DECISION, _shares(one))
        return np.where(taken, one, TOTAL - one).astype(np.uint32)

    def words(self) -> Codes:
        """All words of the message."""
        words: Codes = self._coder.get_compressed()
        return words

    def content(self) -> bytes:
        """See `coder.Encoder.content`."""
        return bytes_of(self.words())


class Decoder:
    """See `coder.Decoder`; re-encodes what it reads, to compare the words at the end.

    Args:
        words: the words of one message.
    """

    def __init__(self, words: Codes) -> None:
        self._words, self._again = words, Encoder()
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def table(self, count: int, table: Table) -> Codes:
        """See `coder.Decoder.table`."""
        try:
            codes: Codes = self._coder.decode(constriction_table(table), count).astype(np.uint32)
        except (ValueError, AssertionError):
            raise bad_words() from None
        self._again.table(codes, table)
        return codes

    def rows(self, cumulative: Codes) -> Codes:
        """See `coder.Decoder.rows`."""
        codes = np.zeros(len(cumulative), np.uint32)
        for i, row in enumerate(cumulative.astype(np.int64)):
            model = _weighted(np.diff(row))
            try:
                codes[i] = 0 if model is None else self._coder.decode(model)
            except (ValueError, AssertionError):
                raise bad_words() from None
        self._again.shares(*shares_of(cumulative, codes))
        return codes

    def adaptive(self, stream: AdaptiveStream) -> Codes:
        """See `coder.Decoder.adaptive`."""
        ranks = np.zeros(stream.positions, np.uint32)
        self._decided(lambda decide: run_steps(stream, ranks, decide))
        return ranks

    def pixels(self, scene: Scene) -> Codes:
        """See `coder.Decoder.pixels`."""
        values = np.zeros(scene.reconstructed.shape, np.uint32)
        self._decided(lambda decide: run_pixels(scene, values, decide))
        return values

    def _decided(self, run: Callable[[Decide], None]) -> None:
        """Run a model whose decisions come from the message."""
        ones: list[int] = []
        outcomes: list[int] = []

        def decide(one: int, _: int) -> int:
            ones.append(one)
            outcomes.append(int(self._coder.decode(_DECISION, _shares(np.array([one])))[0]))
            return outcomes[-1]

        try:
            run(decide)
        except (ValueError, AssertionError):
            raise bad_words() from None
        self._again.decisions(ones, outcomes)

    def end(self) -> None:
        """See `coder.Decoder.end`."""
        if not np.array_equal(self._again.words(), self._words):
            raise bad_words()


_DECISION = constriction.stream.model.Categorical(perfect=False)


def constriction_table(table: Table) -> Any:
    """A table as constriction's model of the same integer probabilities.

    It gives each code 1 and shares out 2^24 - K in proportion to what it is handed. It is handed
    width - 1, whose sum is exactly that: integers below 2^24 are exact in float64.
    """
    return _weighted(table.widths)


def _weighted(widths: NDArray[np.int64]) -> Any:
    """A model of integer widths >= 1 that sum to 2^24; None for a single one: it takes no bits."""
    if len(widths) == 1:
        return None
    return constriction.stream.model.Categorical((widths - 1).astype(np.float64), perfect=False)


def _shares(one: NDArray[np.int64]) -> NDArray[np.float64]:
    """Both probabilities of decisions, as constriction takes them; see `constriction_table`."""
    return np.stack([TOTAL - one - 1, one - 1], 1).astype(np.float64)
