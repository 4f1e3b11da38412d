"""A segment: some whole signals, or a part of one, with a chunk of bytes for each stream.

Segments are coded independently: damage stays in one, and several are coded at the same time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.header import Header, Stage
from vocabula.codec.layout import Packer, Unpacker, checksum, damaged
from vocabula.codec.limits import Limits

LAST, PART = 1, 2
_LARGEST_HEAD = 2**26

Codes = NDArray[np.uint32]
Runs = tuple[tuple[int, tuple[int, ...]], ...]
"""Equal neighbours: (count, size)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a segment's head says about the bytes of one stream.

    Attributes:
        length: of the bytes.
        crc: CRC-32 of the bytes.
        codes_crc: CRC-32 of the codes, each as 4 bytes, little-endian.
    """

    length: int
    crc: int
    codes_crc: int


@dataclass(frozen=True, slots=True)
class Span:
    """The signals of a segment.

    Attributes:
        runs: sizes of the signals that begin in it; of a part the whole signal's.
        rows: of a part, the first row of the signal and the one after its last; else None.
    """

    runs: Runs
    rows: tuple[int, int] | None = None

    @property
    def begins(self) -> bool:
        """Whether its first signal begins in it."""
        return self.rows is None or self.rows[0] == 0

    @property
    def signals(self) -> int:
        """Signals of which the segment has something."""
        return sum(count for count, _ in self.runs)

    def grids(self, stage: Stage) -> Runs:
        """Grids of the codes of a stage, as runs."""
        if self.rows is None:
            return tuple((count, stage.grid(size)) for count, size in self.runs)
        first, after = self.rows
        size = self.runs[0][1]
        above = stage.grid((first, *size[1:]))[0]
        grid = stage.grid((after, *size[1:]))
        return ((1, (grid[0] - above, *grid[1:])),)

    def positions(self, stage: Stage) -> int:
        """Codes of one stream of a stage."""
        return sum(count * math.prod(grid) for count, grid in self.grids(stage))


@dataclass
class Block:
    """The codes of a segment, as the entropy models see them.

    Attributes:
        symbols: K of each stream.
        grids: of each stream, the grids that its codes fill one after another.
        codes: of each stream, (positions,) uint32, as far as they are known.
    """

    symbols: tuple[int, ...]
    grids: tuple[Runs, ...]
    codes: list[Codes] = field(default_factory=list)

    def positions(self, stream: int) -> int:
        """Codes of a stream."""
        return sum(count * math.prod(grid) for count, grid in self.grids[stream])


def empty_block(header: Header, span: Span) -> Block:
    """A block of the streams that a file holds, before any codes."""
    stages = header.stages[: header.kept]
    return Block(
        tuple(k for stage in stages for k in stage.symbols),
        tuple(span.grids(stage) for stage in stages for _ in stage.symbols),
    )


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What stands before the chunks of a segment.

    Attributes:
        span: the signals.
        chunks: one for each stream.
        last: whether the file ends after it.
    """

    span: Span
    chunks: tuple[Chunk, ...]
    last: bool

    def pack(self, seed: int) -> bytes:
        """The head's bytes; `seed` ties it to its file and its place, see `seed_of`."""
        body = Packer()
        rows = self.span.rows
        body.varint(LAST * self.last + PART * (rows is not None))
        if rows is not None:
            for value in (*self.span.runs[0][1], *rows):
                body.varint(value)
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


def head_length(value: int, name: str) -> int:
    """The length of a head, checked."""
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
    dims = len(header.stages[0].strides)
    if flags & PART:
        span = _parse_part(body, dims, header, name)
    else:
        span = _parse_whole(body, dims, name, limits)
    for _, size in span.runs:
        limits.check(name, "signal_size", math.prod(size) * max(1, header.channels))
    total = 0
    chunks: list[Chunk] = []
    for stage in header.stages[: header.kept]:
        positions = span.positions(stage)
        total += 4 * positions * len(stage.symbols)
        limits.check(name, "memory", total)
        for symbols in stage.symbols:
            most = largest_payload(positions, symbols)
            length = body.between("bytes of a chunk", 0, most)
            limits.check(name, "memory", length)
            chunks.append(Chunk(length, body.fixed(4), body.fixed(4)))
    body.end()
    return SegmentHead(span, tuple(chunks), bool(flags & LAST))


def largest_payload(positions: int, symbols: int) -> int:
    """Most bytes that any entropy model makes of codes: one word for each binary decision."""
    return 4 * (positions * max(1, (symbols - 1).bit_length()) + 2)


def codes_checksum(codes: Codes) -> int:
    """CRC-32 of codes, each as 4 bytes, little-endian."""
    return checksum(np.ascontiguousarray(codes, "<u4").tobytes())


def _parse_part(body: Unpacker, dims: int, header: Header, name: str) -> Span:
    size = tuple(body.between("size of a signal", 1, 2**32) for _ in range(dims))
    first = body.between("first row", 0, size[0] - 1)
    after = body.between("last row", first + 1, size[0])
    for stage in header.stages:
        if first % stage.strides[0] or (after % stage.strides[0] and after != size[0]):
            raise damaged(name, "a part that begins and ends between codes", f"{first} to {after}")
    return Span(((1, size),), (first, after))


def _parse_whole(body: Unpacker, dims: int, name: str, limits: Limits) -> Span:
    runs = []
    signals = 0
    for _ in range(body.between("runs of signals", 1, body.left)):
        count = body.between("signals", 1, 2**48)
        signals += count
        limits.check(name, "signals", signals)
        runs.append((count, tuple(body.between("size of a signal", 1, 2**32) for _ in range(dims))))
    return Span(tuple(runs))
