"""Reading compressed files: every length is checked before memory is taken, every byte by a sum."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vocabula.codec.header import PREFIX, Header, ModelName
from vocabula.codec.header_parsing import header_length, parse_header
from vocabula.codec.integers import checksum, damaged
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.profiles import profiles_of
from vocabula.codec.segment import SegmentHead, head_length, held_bytes, parse_head, seed_of
from vocabula.codec.span import Span
from vocabula.errors import CodecError, OptionError
from vocabula.files import input_error

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
    if path.is_fifo():  # it would be waited for, perhaps for ever, and gives its bytes once
        raise CodecError(f"{path}: expected a compressed file, got a pipe; copy it to a file first")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except (OSError, ValueError) as error:  # the latter of a name with a zero byte
            raise input_error(path, error, CodecError) or CodecError(
                f"{path}: expected a compressed file, got '{error}'; check the path"
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
        gathers: the caller keeps all signals, whose memory counts together then; else it is done
            with one before it takes the next.

    Attributes:
        header: the file's header.
        header_bytes: its bytes.
        stages: how many stages are read.
        name: what messages call the file.
        limits: caps on what it may hold.

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
        gathers: bool = False,
    ) -> None:
        self._file, self.name = file, name
        self._skip_damaged, self._gathers = skip_damaged, gathers
        self.limits = limits or Limits()
        prefix = self._read(PREFIX, partial=True)
        length = header_length(prefix, name, self.limits)
        self.header_bytes = prefix + self._read(length - PREFIX)
        self.header = parse_header(self.header_bytes, name, self.limits)
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
        number = signals = memory = named = 0
        wanted = self.header.cut(self.stages)
        before: Span | None = None
        while True:
            head, size = self._head(number)
            self._check_order(before, head)
            before = head.span
            if head.span.begins:
                signals += head.span.signals
                named += head.span.items(self.header)
                memory = memory if self._gathers else 0
            self.limits.check(self.name, "signals", signals)
            memory += held_bytes(wanted, head.span)
            self.limits.check(self.name, "memory", memory)
            yield Segment(head, size, self._contents(head))
            if head.last:
                break
            number += 1
        self._check_end(head.span, named)

    def _check_end(self, span: Span, signals: int) -> None:
        if span.rows is not None and span.rows[1] != span.runs[0][1][0]:
            raise damaged(self.name, "a whole signal", f"{span.rows[1]} of its rows")
        names = self.header.names
        if names and len(names) != signals:
            raise damaged(self.name, f"{signals} names of signals", str(len(names)))
        profiles = profiles_of(self.header.attachments, self.name)
        if profiles and len(profiles) != signals:
            raise damaged(self.name, f"{signals} places of colour profiles", str(len(profiles)))
        if self._file.read(1):
            raise CodecError(
                f"{self.name}: expected the end of the file, got further bytes; "
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
            raise damaged(self.name, f"a part of a signal from row {due} on", f"row {first}")

    def _head(self, number: int) -> tuple[SegmentHead, int]:
        start = bytearray()
        while not start or start[-1] > 0x7F:
            start += self._read(1)
            if len(start) > 4 or (len(start) > 1 and start[-1] == 0):
                raise damaged(self.name, "the length of a segment's head", start.hex(" "))
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(start))
        content = self._read(head_length(length, self.name, self.limits) + 4)
        seed = seed_of(self.header_bytes, number)
        if checksum(bytes(start) + content[:-4], seed) != int.from_bytes(content[-4:], "little"):
            raise damaged(self.name, f"segment {number + 1} with its checksum", "another checksum")
        head = parse_head(content[:-4], self.header, self.name, self.limits)
        return head, len(start) + len(content)

    def _contents(self, head: SegmentHead) -> tuple[bytes, ...] | None:
        """The chunks of the wanted stages; those of the others are passed over."""
        contents: list[bytes] = []
        whole = True
        for stage, chunk in enumerate(head.chunks):
            content = self._read(chunk.length, partial=True)
            if len(content) < chunk.length:
                self._check_cut(head, stage, content)
                break
            if checksum(content) != chunk.crc:
                if not self._skip_damaged:
                    raise damaged(
                        self.name, f"stage {stage + 1} with its checksum", "another checksum"
                    )
                whole = False
            if stage < self.stages:
                contents.append(content)
        return tuple(contents) if whole else None

    def _check_cut(self, head: SegmentHead, stage: int, content: bytes) -> None:
        """The file ends inside `stage`: an error, unless it was cut just there and that is fine."""
        at_border = not content and stage > 0 and head.last
        if at_border and stage >= self.stages and self._cut_is_fine:
            return
        if at_border:
            raise CodecError(
                f"{self.name}: expected {self.header.kept} stages, got the end of the file after "
                f"stage {stage}; decode what is there with stages={stage} (--stages {stage})"
            )
        raise self._ended(head.chunks[stage].length, len(content))

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
            f"{self.name}: expected {expected} more bytes, got {got}: the file is incomplete; "
            "copy it again"
        )
