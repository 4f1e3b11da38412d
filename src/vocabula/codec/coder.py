"""The range coder as entropy models see it: one message of codes, written or read in order.

The compiled coder writes and reads tens of millions of codes a second; without it, constriction
produces the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vocabula.codec import fallback, native
from vocabula.codec.words import words_of

if TYPE_CHECKING:
    from vocabula.codec.adaptive_stream import AdaptiveStream
    from vocabula.codec.pixel_steps import Scene
    from vocabula.codec.table import Table

Codes = NDArray[np.uint32]


class Encoder(Protocol):
    """Writes one message."""

    def table(self, codes: Codes, table: Table) -> None:
        """Append codes (N,), all by the same table of two or more codewords."""

    def shares(self, starts: Codes, widths: Codes) -> None:
        """Append codes, each given by its share [start, start + width) of 2^24; both are (N,)."""

    def adaptive(self, ranks: Codes, stream: AdaptiveStream, *, traced: bool = False) -> Codes:
        """Append ranks (N,) by the adaptive model.

        Returns:
            If `traced`, the width in 2^24 of each decision's outcome; otherwise nothing meaningful.
        """

    def pixels(self, values: Codes, scene: Scene, *, traced: bool = False) -> Codes:
        """Append values (channels, positions) below 256 by the model of exact pixels.

        Returns:
            As `adaptive`.
        """

    def content(self) -> bytes:
        """End the message: its words, little-endian."""


class Decoder(Protocol):
    """Reads one message; bytes that no encoder wrote may give any codes within range."""

    def table(self, count: int, table: Table) -> Codes:
        """The next codes (count,) by one table.

        Raises:
            CodecError: no encoder writes these words.
        """

    def rows(self, cumulative: Codes) -> Codes:
        """The next codes (N,), each by a row of cumulative widths (N, K + 1), from 0 to 2^24.

        Raises:
            CodecError: no encoder writes these words.
        """

    def adaptive(self, stream: AdaptiveStream) -> Codes:
        """The next ranks by the adaptive model.

        Raises:
            CodecError: no encoder writes these words.
        """

    def pixels(self, scene: Scene) -> Codes:
        """The next values (channels, positions) by the model of exact pixels.

        Raises:
            CodecError: no encoder writes these words.
        """

    def end(self) -> None:
        """Check that the message has exactly the words that an encoder writes for what was read.

        Raises:
            CodecError: there are more words, or different ones.
        """


def new_encoder() -> Encoder:
    """An encoder of one message."""
    return native.Encoder() if native.available() else fallback.Encoder()


def new_decoder(content: bytes) -> Decoder:
    """A decoder of the bytes of one message.

    Raises:
        CodecError: they are not a whole number of words.
    """
    words = words_of(content)
    return native.Decoder(words) if native.available() else fallback.Decoder(words)
