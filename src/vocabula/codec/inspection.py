"""What a compressed file says about itself, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass

from vocabula.codec.header import Header
from vocabula.codec.limits import Limits
from vocabula.codec.reader import Reader, Source, opened


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file's header and where its bytes go.

    Attributes:
        header: the file's header.
        signals: signals in it, those without axes counted one by one.
        sizes: sizes of the entries of signals as (count, size), in order; see `kinds`.
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
    def units(self) -> float:
        """Number of units of all signals together: pixels, vectors, seconds."""
        return sum(count * self.header.signal.units(size) for count, size in self.sizes)

    @property
    def bits_per_unit(self) -> float:
        """Bits of the whole file per unit, such as per pixel."""
        return 8 * self.file_bytes / self.units

    @property
    def what(self) -> str:
        """How many signals there are and what they are, in words."""
        return self.header.signal.counted(self.signals, self.header.channels)


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
        >>> inspect(content).units
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
                signals += span.items(header)
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
