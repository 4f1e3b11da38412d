"""Messages of the range coder as 32-bit words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vocabula.errors import CodecError

WORD = 4
"""Bytes of a word."""


def words_of(content: bytes) -> NDArray[np.uint32]:
    """Bytes as words.

    Raises:
        CodecError: their number is no multiple of 4.
    """
    if len(content) % WORD:
        raise bad_words()
    return np.frombuffer(content, "<u4").astype(np.uint32)


def bytes_of(words: NDArray[np.uint32]) -> bytes:
    """Words as bytes, little-endian."""
    return words.astype("<u4", copy=False).tobytes()


def bad_words() -> CodecError:
    """The error for words that no encoder writes."""
    return CodecError(
        "codes: expected the words of an encoder, got others; the file is damaged or its entropy "
        "model is another, compress the original again"
    )
