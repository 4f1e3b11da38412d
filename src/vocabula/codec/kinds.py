"""The kinds of signals that a file may hold: one row each, looked up by number or by name.

A file gives the size of a signal in two numbers, rows and columns:

    two axes (h, w)    h, w
    one axis (n)       n, 1    rows, so that a long signal is stored in parts
    no axes            n, 1    n signals one below the other, so that a file may hold millions

A kind that is sampled in time has its sample rate in the file, and needs one number a signal.
A kind from another package needs no row: its name stands in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vocabula.codec.integers import Packer, Unpacker, damaged
from vocabula.codec.layout import Attachment
from vocabula.errors import CodecError, OptionError, plural

if TYPE_CHECKING:
    from vocabula.signals import Signal

GRID, IMAGE, VECTOR, NAMED, AUDIO = range(5)
"""The numbers of kinds in a file: codes alone, kinds of signals, and (3) kinds by their name."""
DIMENSIONS = 2
"""How many numbers the size of a signal has."""
LONGEST_NAME = 64
"""Bytes of the name of a kind."""
HIGHEST_RATE = 2**32 - 1
"""Samples per second of a recording, as far as the header of a .wav file can say."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What the signals of a file are.

    Attributes:
        number: the number of the kind in the file.
        name: `Signal.kind`; empty for codes alone.
        axes: how many axes a signal has, at most 2.
        unit: what rates are counted in.
        thing: what one signal is called; several have an s more.
        value_bytes: memory of a decoded value.
        segment_bytes: most memory of the decoded values of a segment that holds several signals;
            None: the codes alone say when a segment ends.
        exact: whether exact values can be stored behind the codes.
        sampled: whether signals of one axis are samples in time. The header then holds their rate,
            sizes are single numbers, and names are packed.
        rate: samples per second; 1 for kinds that are not sampled.
    """

    number: int
    name: str
    axes: int
    unit: str
    thing: str
    value_bytes: int = 4
    segment_bytes: int | None = 2**26
    exact: bool = False
    sampled: bool = False
    rate: int = 1

    @property
    def title(self) -> str:
        """The kind in words, for messages."""
        return f"signals of kind {self.name}" if self.name else "codes alone"

    def count(self, size: tuple[int, ...]) -> int:
        """How many signals an entry of this size in a file stands for: its rows without axes."""
        return 1 if self.axes else size[0]

    def units(self, size: tuple[int, ...]) -> float:
        """How many units an entry of this size has: positions, signals without axes, or seconds."""
        return size[0] / self.rate if self.sampled else size[0] * size[1]

    def counted(self, signals: int, channels: int) -> str:
        """A number of signals in words."""
        what = plural(signals, self.thing)
        return f"{what} of {plural(channels, 'channel')}" if channels else f"{what} of codes"

    def attachments(self) -> Mapping[int, bytes]:
        """What the header holds about the kind: the name of one without a number, a sample rate."""
        if self.sampled:
            rate = Packer()
            rate.varint(self.rate)
            return {Attachment.RATE: rate.content()}
        if self.number != NAMED:
            return {}
        return {Attachment.SIGNAL: bytes([self.axes]) + self.name.encode()}


KINDS = {
    row.number: row
    for row in (
        FileKind(GRID, "", 2, "pixel", "grid", value_bytes=0, segment_bytes=None),
        FileKind(
            IMAGE, "image", 2, "pixel", "image", value_bytes=1, segment_bytes=None, exact=True
        ),
        FileKind(VECTOR, "vector", 0, "vector", "vector"),
        FileKind(AUDIO, "audio", 1, "second", "recording", sampled=True),
    )
}
"""The kinds that have a number of their own. A number never changes."""


def in_two(numbers: Sequence[int]) -> tuple[int, ...]:
    """One number for each axis as the two numbers of a file: rows first, 1 for what is missing."""
    return (*numbers, *(1,) * (DIMENSIONS - len(numbers)))


def kind_of(signal: Signal) -> FileKind:
    """The kind of file that holds such signals.

    Raises:
        OptionError: signals have more than two axes, or a name or sample rate that no file holds.
    """
    own = next((row for row in KINDS.values() if row.name == signal.kind), None)
    if own is not None:
        return _at_rate(own, signal) if own.sampled else own
    if len(signal.axes) > DIMENSIONS:
        raise OptionError(
            f"compress: expected signals of at most {DIMENSIONS} axes, got {signal.kind} with "
            f"{', '.join(signal.axes)}; encode them to a token file instead"
        )
    if not _is_name(signal.kind):
        raise OptionError(
            f"compress: expected a kind of signal with a printable name of at most {LONGEST_NAME} "
            f"bytes, got {signal.kind!r}; register it by a shorter one"
        )
    return _named(signal.kind, len(signal.axes))


def kind_in_file(number: int, attachments: Mapping[int, bytes], name: str) -> FileKind:
    """The kind of a file by its header.

    Args:
        number: the number of the kind.
        attachments: the header's attachments.
        name: what messages call the file.

    Raises:
        CodecError: the number is unknown, or the kind is not named as it must be.
    """
    own = KINDS.get(number)
    rate = attachments.get(Attachment.RATE)
    if (rate is not None) != (own is not None and own.sampled):
        raise damaged(name, "a sample rate for a kind that is sampled, and for no other", "another")
    content = attachments.get(Attachment.SIGNAL)
    if (content is None) != (number != NAMED):
        raise damaged(name, "a name for a kind without a number, and for no other", "another")
    if own is not None and rate is not None:
        body = Unpacker(rate, name)
        own = replace(own, rate=body.between("sample rate", 1, HIGHEST_RATE))
        body.end()
        return own
    if content is None:
        return KINDS[check_number(number, name)]
    try:
        kind = content[1:].decode()
    except UnicodeDecodeError:
        kind = ""
    if not _is_name(kind) or content[0] > DIMENSIONS:
        raise damaged(name, "the axes and the name of a kind of signals", "other bytes")
    if any(row.name == kind for row in KINDS.values()):
        raise damaged(name, f"the number of the kind {kind}", "its name")
    return _named(kind, content[0])


def check_number(number: int, name: str) -> int:
    """The number of a kind, if it is a known one.

    Raises:
        CodecError: it is unknown.
    """
    if number != NAMED and number not in KINDS:
        raise CodecError(
            f"{name}: expected a known kind of signals, got number {number}; "
            "use the version of vocabula that wrote the file"
        )
    return number


def _at_rate(kind: FileKind, signal: Signal) -> FileKind:
    rate = signal.sample_rate
    assert rate is not None, "every sampled kind has one"
    if rate > HIGHEST_RATE:
        raise OptionError(
            f"compress: expected a sample rate of at most {HIGHEST_RATE} Hz, got {rate}; "
            "build the model for another"
        )
    return replace(kind, rate=rate)


def _named(kind: str, axes: int) -> FileKind:
    return FileKind(NAMED, kind, axes, "position" if axes else kind, f"{kind} signal")


def _is_name(kind: str) -> bool:
    """Whether a file may hold it: messages show it, so it must not move a terminal's cursor."""
    return 1 <= len(kind.encode()) <= LONGEST_NAME and kind.isprintable()
