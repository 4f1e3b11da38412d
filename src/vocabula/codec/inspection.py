"""What a compressed file says about itself, without decoding it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vocabula.codec.header import Header
from vocabula.codec.layout import SignalKind
from vocabula.codec.limits import Limits
from vocabula.codec.reader import Reader, Source, opened
from vocabula.errors import plural


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file's header and where its bytes go.

    Attributes:
        header: the file's header.
        signals: signals in it.
        sizes: sizes of the signals as (count, size), in order.
        segments: number of independently coded parts.
        positions: codes of each stage's first book.
        header_bytes: size of the header.
        head_bytes: size of the heads of the segments.
        stage_bytes: size of the codes of each stage.
    """

    header: Header
    signals: int
    sizes: tuple[tuple[int, tuple[int, ...]], ...]
    segments: int
    positions: tuple[int, ...]
    header_bytes: int
    head_bytes: int
    stage_bytes: tuple[int, ...]

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        return self.header_bytes + self.head_bytes + sum(self.stage_bytes)

    @property
    def pixels(self) -> int:
        """Height times width, all signals together."""
        return sum(count * math.prod(size) for count, size in self.sizes)

    @property
    def bits_per_pixel(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.file_bytes / self.pixels

    @property
    def what(self) -> str:
        """How many signals there are and what they are, in words."""
        if self.header.kind == SignalKind.IMAGE:
            of = plural(self.header.channels, "channel")
            return f"{plural(self.signals, 'image')} of {of}"
        return f"{plural(self.signals, 'grid')} of codes"


def inspect(
    source: Source, *, stages: int | None = None, limits: Limits | None = None
) -> Inspection:
    """Read a file's structure; every checksum is checked but that of the decoded codes.

    Args:
        source: a path, bytes or a binary stream.
        stages: look at the first so many only, which is all that a file needs then.
        limits: caps on what it may hold.

    Raises:
        CodecError: the file is damaged, foreign or larger than the limits.

    Example:
        >>> content = vocabula.codec.to_bytes(images, vocabula.load("runs/photos"))
        >>> inspect(content).pixels
        240
    """
    with opened(source) as (file, name):
        reader = Reader(file, name, limits=limits, stages=stages)
        header = reader.header.cut(reader.stages)
        kept = header.stages[: header.kept]
        heads, segments, signals = 0, 0, 0
        positions, stage_bytes = [0] * len(kept), [0] * len(kept)
        sizes: list[tuple[int, tuple[int, ...]]] = []
        for segment in reader.segments():
            span = segment.head.span
            heads += segment.head_bytes
            segments += 1
            if span.begins:
                signals += span.signals
                _extend(sizes, span.runs)
            for number, (stage, chunk) in enumerate(zip(kept, segment.head.chunks, strict=False)):
                positions[number] += span.positions(stage)
                stage_bytes[number] += chunk.length
        return Inspection(
            header,
            signals,
            tuple(sizes),
            segments,
            tuple(positions),
            len(reader.header_bytes),
            heads,
            tuple(stage_bytes),
        )


def _extend(
    sizes: list[tuple[int, tuple[int, ...]]], runs: tuple[tuple[int, tuple[int, ...]], ...]
) -> None:
    for count, size in runs:
        if sizes and sizes[-1][1] == size:
            sizes[-1] = (sizes[-1][0] + count, size)
        else:
            sizes.append((count, size))
