"""A segment: some whole signals, or a part of one, with a chunk of bytes for each stage.

Segments are coded independently: damage stays in one, and several are coded at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vocabula.codec.header import Header, Stage
from vocabula.codec.integers import Packer, Unpacker, checksum, damaged
from vocabula.codec.kinds import DIMENSIONS, FileKind, in_two
from vocabula.codec.limits import Limits
from vocabula.codec.span import Chunk, Codes, Runs, Span

LAST, PART = 1, 2
_LARGEST_HEAD = 2**26
SIGNAL_BYTES = 512
"""What one signal takes in memory beside its codes and values."""


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What stands before the chunks of a segment.

    Attributes:
        span: the signals.
        chunks: one for each stage that is kept.
        last: whether the file ends after it.
    """

    span: Span
    chunks: tuple[Chunk, ...]
    last: bool

    def pack(self, seed: int, *, sampled: bool = False) -> bytes:
        """The head's bytes.

        Args:
            seed: ties it to its file and its place, see `seed_of`.
            sampled: whether the signals are; see `FileKind`.
        """
        body = Packer()
        rows = self.span.rows
        body.varint(LAST * self.last + PART * (rows is not None))
        if rows is not None:
            for value in (*self.span.runs[0][1], *rows):
                body.varint(value)
        elif sampled:
            _pack_lengths(body, self.span.runs)
        else:
            body.varint(len(self.span.runs))
            for count, size in self.span.runs:
                for value in (count, *size):
                    body.varint(value)
        for chunk in self.chunks:
            body.varint(chunk.length)
            body.fixed(4, chunk.crc)
            body.fixed(4, chunk.codes_crc)
        content = body.content()
        head = Packer()
        head.varint(len(content))
        head.raw(content)
        whole = head.content()
        return whole + checksum(whole, seed).to_bytes(4, "little")


def seed_of(header: bytes, number: int) -> int:
    """Where the checksum of segment `number` starts: it covers the header and the number too.

    The header's own checksum is left out: with it, the sum of every header would be the same.
    """
    return checksum(header[:-4] + number.to_bytes(8, "little"))


def head_length(value: int, name: str, limits: Limits) -> int:
    """The length of a head, checked."""
    limits.check(name, "memory", value)
    if not 3 <= value <= _LARGEST_HEAD:
        raise damaged(name, f"a segment's head of 3 to {_LARGEST_HEAD} bytes", str(value))
    return value


def parse_head(content: bytes, header: Header, name: str, limits: Limits) -> SegmentHead:
    """A segment's head from its bytes, without the length before and the checksum after them.

    Raises:
        CodecError: damaged, or larger than the limits.
    """
    body = Unpacker(content, name)
    flags = body.between("flags of a segment", 0, LAST | PART)
    if flags & PART:
        span = _parse_part(body, header, name)
    else:
        span = _parse_whole(body, header.signal, name, limits)
    for _, size in span.runs:
        values = math.prod(size) // header.signal.count(size)
        limits.check(name, "signal_size", values * max(1, header.channels))
    limits.check(name, "memory", held_bytes(header, span))
    chunks: list[Chunk] = []
    for stage in header.stages[: header.kept]:
        length = body.between("bytes of a chunk", 0, _largest_chunk(stage, span.positions(stage)))
        limits.check(name, "memory", length)
        chunks.append(Chunk(length, body.fixed(4), body.fixed(4)))
    body.end()
    return SegmentHead(span, tuple(chunks), bool(flags & LAST))


def held_bytes(header: Header, span: Span) -> int:
    """Memory that a segment's signals take once they are decoded: codes and values."""
    codes = sum(span.positions(s) * len(s.symbols) for s in header.stages[: header.kept])
    return SIGNAL_BYTES * span.signals + 4 * codes + decoded_bytes(header, span.values)


def decoded_bytes(header: Header, positions: int) -> int:
    """Memory of the decoded values of so many positions."""
    return header.signal.value_bytes * header.channels * positions


def _largest_chunk(stage: Stage, positions: int) -> int:
    """Most bytes that any entropy model makes of codes: a word for each binary decision."""
    decisions = sum(positions * (symbols - 1).bit_length() + 1 for symbols in stage.symbols)
    return 4 * (decisions + 2)


def codes_checksum(streams: Iterable[Codes]) -> int:
    """CRC-32 of streams of codes one after another, each code as 4 bytes, little-endian."""
    total = 0
    for codes in streams:
        total = checksum(np.ascontiguousarray(codes, "<u4").data, total)
    return total


def _parse_part(body: Unpacker, header: Header, name: str) -> Span:
    size = _parse_size(body, header.signal, name)
    first = body.between("first row", 0, size[0] - 1)
    after = body.between("last row", first + 1, size[0])
    for stage in header.stages:
        if first % stage.strides[0] or (after % stage.strides[0] and after != size[0]):
            raise damaged(name, "a part that begins and ends between codes", f"{first} to {after}")
    return Span(((1, size),), (first, after))


def _pack_lengths(body: Packer, runs: Runs) -> None:
    """Lengths of recordings, which seldom repeat: 2 n for one of n samples, 2 n + 1 for several."""
    body.varint(len(runs))
    for count, (length, *_) in runs:
        body.varint(2 * length + (count > 1))
        if count > 1:
            body.varint(count - 2)


def _parse_lengths(body: Unpacker) -> tuple[int, tuple[int, ...]]:
    """A run of recordings of one length."""
    length, several = divmod(body.between("twice the length of a signal", 2, 2**33 + 1), 2)
    equal = 2 + body.between("signals", 0, 2**48) if several else 1
    return equal, in_two([length])


def _parse_whole(body: Unpacker, kind: FileKind, name: str, limits: Limits) -> Span:
    count = body.between("runs of signals", 1, body.left)
    limits.check(name, "memory", SIGNAL_BYTES * count)
    runs = []
    signals = 0
    for _ in range(count):
        if kind.sampled:
            equal, size = _parse_lengths(body)
        else:
            equal = body.between("signals", 1, 2**48)
            size = _parse_size(body, kind, name)
        signals += equal
        limits.check(name, "signals", signals)
        runs.append((equal, size))
    return Span(tuple(runs))


def _parse_size(body: Unpacker, kind: FileKind, name: str) -> tuple[int, ...]:
    """The size of a signal: numbers behind those of its axes are 1."""
    size = tuple(body.between("size of a signal", 1, 2**32) for _ in range(DIMENSIONS))
    if any(side > 1 for side in size[max(1, kind.axes) :]):
        raise damaged(name, f"a size along {kind.axes} axes", f"{size[0]} x {size[1]}")
    return size
