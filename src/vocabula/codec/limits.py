"""Limits that a reader sets: a file's figures are checked against them before any allocation."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vocabula.errors import CodecError, OptionError

MAX_SYMBOLS = 2**22
"""Most codewords of a book that any file may have: each needs a part of 24-bit probability."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on a compressed file, set by its reader.

    Args:
        signal_size: most values of one signal: height x width x channels of an image.
        signals: most signals in a file.
        books: most books, all stages together.
        symbols: most codewords of a book.
        memory: most bytes held at a time: decoded codes and images, tables of entropy models, a
            compressed chunk, the header. What a tokenizer's network takes while it decodes an image
            is not counted; `signal_size` bounds it.

    Example:
        >>> Limits(signal_size=4096 * 4096 * 3).signal_size
        50331648
    """

    signal_size: int = 2**28
    signals: int = 2**24
    books: int = 256
    symbols: int = MAX_SYMBOLS
    memory: int = 2**30

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise OptionError(
                    f"limits.{field.name}: expected an integer >= 1, got "
                    f"{getattr(self, field.name)}; raise it"
                )

    def check(self, name: str, limit: str, value: int) -> None:
        """Refuse a figure above one of the caps.

        Args:
            name: the file.
            limit: which cap.
            value: the file's figure.

        Raises:
            CodecError: it is too large.
        """
        most = getattr(self, limit)
        if value > most:
            option = " (--max-memory)" if limit in ("memory", "signal_size") else ""
            raise CodecError(
                f"{name}: expected {limit.replace('_', ' ')} of at most {most}, got {value}; "
                f"raise limits.{limit}{option} if you trust the file"
            )


NO_LIMITS = Limits(signal_size=2**62, signals=2**62, books=2**62, memory=2**62)
"""For files of our own making."""
