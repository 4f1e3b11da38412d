"""Reading compressed files: every length is checked before memory is taken, every byte by a sum."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vocabula.codec.header import PREFIX, Header, ModelName, header_length, parse_header
from vocabula.codec.layout import checksum, damaged
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.segment import (
    Block,
    SegmentHead,
    Span,
    codes_checksum,
    empty_block,
    head_length,
    parse_head,
    seed_of,
)
from vocabula.codec.writer import CodedSignal, stream_models
from vocabula.errors import CodecError, OptionError

SIGNAL_BYTES = 512
"""What one signal takes in memory beside its codes."""

Source = str | os.PathLike[str] | bytes | BinaryIO
Models = Callable[[Header, ModelName], EntropyModel]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it stands in the file.

    Attributes:
        head: what stands before its chunks.
        head_bytes: length of that, with its own length and checksum.
        contents: of each stream that was read, its bytes; None where one is damaged and that is
            passed over.
    """

    head: SegmentHead
    head_bytes: int
    contents: tuple[bytes, ...] | None


@contextmanager
def opened(source: Source) -> Iterator[tuple[BinaryIO, str]]:
    """A binary stream of a source, and its name for messages.

    Raises:
        CodecError: there is no such file, or it is a folder, or cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source), "compressed bytes"
        return
    if not isinstance(source, str | os.PathLike):
        yield source, str(getattr(source, "name", "compressed stream"))
        return
    path = Path(source)
    if path.is_dir():
        raise CodecError(f"{path}: expected a compressed file, got a folder; name the file")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise CodecError(
                f"{path}: expected a compressed file, got '{error.strerror}'; check the path"
            ) from None
        yield file, str(path)


class Reader:
    """Reads the parts of one compressed file in order.

    Args:
        file: a binary stream at its beginning.
        name: what messages call it.
        limits: caps on what it may hold.
        stages: read the first so many stages only; None reads all. A file that ends after a stage,
            be it the first or a later one, is then enough if it has these.
        skip_damaged: go on after a chunk with a wrong checksum; all else stays an error.

    Attributes:
        header: the file's header.
        header_bytes: its bytes.
        stages: how many stages are read.

    Raises:
        CodecError: no such file, damaged, unknown, or larger than the limits.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        limits: Limits | None = None,
        stages: int | None = None,
        skip_damaged: bool = False,
    ) -> None:
        self._file, self._name, self._skip_damaged = file, name, skip_damaged
        self._limits = limits or Limits()
        prefix = self._read(PREFIX, partial=True)
        length = header_length(prefix, name, self._limits)
        self.header_bytes = prefix + self._read(length - PREFIX)
        self.header = parse_header(self.header_bytes, name, self._limits)
        self._cut_is_fine = stages is not None
        self.stages = self.header.kept if stages is None else stages
        if not 1 <= self.stages <= self.header.kept:
            raise OptionError(
                f"{name}: expected 1 to {self.header.kept} stages, got {stages}; the file has "
                f"{self.header.kept} of the tokenizer's {len(self.header.stages)}"
            )

    def segments(self) -> Iterator[Segment]:
        """All segments with the chunks of the wanted stages, to the end of the file.

        Raises:
            CodecError: at the first damage, at the end of a file that was cut off, and at bytes
                after the end.
        """
        number, signals, memory = 0, 0, 0
        before: Span | None = None
        while True:
            head, size = self._head(number)
            self._check_order(before, head)
            before = head.span
            signals += head.span.signals if head.span.begins else 0
            self._limits.check(self._name, "signals", signals)
            wanted = self.header.cut(self.stages)
            memory += SIGNAL_BYTES * head.span.signals + 4 * sum(
                head.span.positions(stage) * len(stage.symbols)
                for stage in wanted.stages[: wanted.kept]
            )
            self._limits.check(self._name, "memory", memory)
            yield Segment(head, size, self._contents(head))
            if head.last:
                break
            number += 1
        self._check_end(head.span, signals)

    def _check_end(self, span: Span, signals: int) -> None:
        if span.rows is not None and span.rows[1] != span.runs[0][1][0]:
            raise damaged(self._name, "a whole signal", f"{span.rows[1]} of its rows")
        names = self.header.names
        if names and len(names) != signals:
            raise damaged(self._name, f"{signals} names of signals", str(len(names)))
        if self._file.read(1):
            raise CodecError(
                f"{self._name}: expected the end of the file, got further bytes; "
                "remove what was appended"
            )

    def _check_order(self, before: Span | None, head: SegmentHead) -> None:
        """Parts of a signal follow one another without a gap."""
        here = head.span
        due = 0 if before is None or before.rows is None else before.rows[1]
        if before is not None and due == before.runs[0][1][0]:
            due = 0
        first = 0 if here.rows is None else here.rows[0]
        same = due == 0 or (before is not None and before.runs == here.runs)
        if first != due or not same or (due and here.rows is None):
            raise damaged(self._name, f"a part of a signal from row {due} on", f"row {first}")

    def _head(self, number: int) -> tuple[SegmentHead, int]:
        start = bytearray()
        while not start or start[-1] > 0x7F:
            start += self._read(1)
            if len(start) > 4 or (len(start) > 1 and start[-1] == 0):
                raise damaged(self._name, "the length of a segment's head", start.hex(" "))
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(start))
        content = self._read(head_length(length, self._name) + 4)
        seed = seed_of(self.header_bytes, number)
        if checksum(bytes(start) + content[:-4], seed) != int.from_bytes(content[-4:], "little"):
            raise damaged(self._name, f"segment {number + 1} with its checksum", "another checksum")
        head = parse_head(content[:-4], self.header, self._name, self._limits)
        return head, len(start) + len(content)

    def _contents(self, head: SegmentHead) -> tuple[bytes, ...] | None:
        """The chunks of the wanted stages; those of the others are passed over."""
        contents: list[bytes] = []
        stream, whole = 0, True
        for number, stage in enumerate(self.header.stages[: self.header.kept]):
            for book in range(len(stage.symbols)):
                chunk = head.chunks[stream]
                content = self._read(chunk.length, partial=True)
                if len(content) < chunk.length:
                    self._check_cut(head, number, book, content, chunk.length)
                    return tuple(contents)
                if checksum(content) != chunk.crc:
                    if not self._skip_damaged:
                        raise damaged(
                            self._name, f"stream {stream + 1} with its checksum", "another checksum"
                        )
                    whole = False
                if number < self.stages:
                    contents.append(content)
                stream += 1
        return tuple(contents) if whole else None

    def _check_cut(
        self, head: SegmentHead, stage: int, book: int, content: bytes, length: int
    ) -> None:
        """The file ends inside `stage`: an error, unless it was cut just there and that is fine."""
        at_border = not content and book == 0 and stage > 0 and head.last
        if at_border and stage >= self.stages and self._cut_is_fine:
            return
        if at_border:
            raise CodecError(
                f"{self._name}: expected {self.header.kept} stages, got the end of the file after "
                f"stage {stage}; decode what is there with stages={stage} (--stages {stage})"
            )
        raise self._ended(length, len(content))

    def _read(self, count: int, *, partial: bool = False) -> bytes:
        """The next `count` bytes; memory grows with what is there, not with what is claimed."""
        parts, left = [], count
        while left:
            part = self._file.read(min(left, 2**20))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        if left and not partial:
            raise self._ended(count, count - left)
        return b"".join(parts)

    def _ended(self, expected: int, got: int) -> CodecError:
        return CodecError(
            f"{self._name}: expected {expected} more bytes, got {got}: the file is incomplete; "
            "copy it again"
        )


def read_signals(
    reader: Reader, models: Models, *, name: str, jobs: int = 1
) -> Iterator[CodedSignal | None]:
    """The signals of a file in order, decoded on threads a few segments ahead.

    A damaged one that is passed over is None.

    Args:
        reader: of the file.
        models: gives the entropy model for a name in the header.
        name: what messages call the file.
        jobs: threads that decode.

    Raises:
        CodecError: the file is damaged, or its model is another.
    """
    if jobs < 1:
        raise OptionError(f"jobs: expected an integer >= 1, got {jobs}")
    header = reader.header.cut(reader.stages)
    known = [models(header, model) for model in header.models]
    waiting: deque[Future[Block | None]] = deque()
    spans: deque[Span] = deque()
    parts: list[tuple[Span, Block | None]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for segment in reader.segments():
            waiting.append(pool.submit(_decode, header, known, segment, name))
            spans.append(segment.head.span)
            if len(waiting) > 2 * jobs:
                yield from _signals(header, spans.popleft(), waiting.popleft().result(), parts)
        while waiting:
            yield from _signals(header, spans.popleft(), waiting.popleft().result(), parts)


def _decode(
    header: Header, models: Sequence[EntropyModel], segment: Segment, name: str
) -> Block | None:
    if segment.contents is None:
        return None
    block = empty_block(header, segment.head.span)
    for stream, model in enumerate(stream_models(header, models)):
        try:
            codes = model.decode(block, stream, segment.contents[stream])
        except CodecError as error:
            raise CodecError(f"{name}: {error}") from None
        if codes_checksum(codes) != segment.head.chunks[stream].codes_crc:
            raise CodecError(
                f"{name}: expected codes with the checksum of stream {stream + 1}, got others; "
                "the file is damaged or its entropy model is another: compress again"
            )
        block.codes.append(codes)
    return block


def _signals(
    header: Header,
    span: Span,
    block: Block | None,
    parts: list[tuple[Span, Block | None]],
) -> Iterator[CodedSignal | None]:
    """Whole signals of a decoded segment; parts are kept until the signal is complete."""
    if span.rows is not None:
        parts.append((span, block))
        if span.rows[1] == span.runs[0][1][0]:
            yield _joined(header, parts)
            parts.clear()
        return
    at = [0] * header.streams
    for run, (count, size) in enumerate(span.runs):
        for _ in range(count):
            if block is None:
                yield None
                continue
            grids = []
            for stream, codes in enumerate(block.codes):
                height, width = block.grids[stream][run][1]
                first, at[stream] = at[stream], at[stream] + height * width
                grids.append(codes[first : at[stream]].reshape(height, width))
            yield CodedSignal(size, tuple(grids))


def _joined(header: Header, parts: Sequence[tuple[Span, Block | None]]) -> CodedSignal | None:
    blocks = [block for _, block in parts if block is not None]
    if len(blocks) < len(parts):
        return None
    streams = []
    for stream in range(header.streams):
        pieces = [block.codes[stream].reshape(block.grids[stream][0][1]) for block in blocks]
        streams.append(np.concatenate(pieces))
    return CodedSignal(parts[0][0].runs[0][1], tuple(streams))
