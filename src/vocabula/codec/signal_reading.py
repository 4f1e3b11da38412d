"""Reads the signals of compressed files with the models of their entropy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vocabula.codec.header import Header
from vocabula.codec.models import EntropyModel
from vocabula.codec.reader import Models, Reader, Segment
from vocabula.codec.segment import codes_checksum, held_bytes
from vocabula.codec.span import Block, Span, empty_block
from vocabula.codec.writer import CodedSignal
from vocabula.errors import CodecError, OptionError


def read_signals(reader: Reader, models: Models, *, jobs: int = 1) -> Iterator[CodedSignal | None]:
    """The signals of a file in order, decoded on threads a few segments ahead.

    A damaged one that is passed over is None.

    Args:
        reader: of the file.
        models: gives the entropy model for a name in the header.
        jobs: threads that decode.

    Raises:
        CodecError: the file is damaged, or its model is another.
    """
    if jobs < 1:
        raise OptionError(f"jobs: expected an integer >= 1, got {jobs}")
    header = reader.header.cut(reader.stages)
    known = {place: models(header, model) for place, model in header.needed.items()}
    waiting: deque[tuple[Segment, int, Future[Block | None]]] = deque()
    parts: list[tuple[Span, Block | None]] = []
    ahead = 0

    def first() -> Iterator[CodedSignal | None]:
        segment, _, block = waiting.popleft()
        return _signals(segment.head.span, block.result(), parts)

    with ThreadPoolExecutor(jobs) as pool:
        for segment in reader.segments():
            size = _needed_bytes(header, known, segment)
            while waiting and (len(waiting) > 2 * jobs or ahead + size > reader.limits.memory):
                ahead -= waiting[0][1]
                yield from first()
            ahead += size
            coded = pool.submit(_decode, header, known, segment, reader)
            waiting.append((segment, size, coded))
        while waiting:
            yield from first()


def _needed_bytes(header: Header, models: Mapping[int, EntropyModel], segment: Segment) -> int:
    """Memory that decoding a segment takes: bytes, signals, and its most demanding stage."""
    span = segment.head.span
    block = empty_block(header, span)
    stages = enumerate(header.stages[: header.kept])
    most = max(models[stage.model].memory(block, number) for number, stage in stages)
    return sum(map(len, segment.contents or ())) + held_bytes(header, span) + most


def _decode(
    header: Header, models: Mapping[int, EntropyModel], segment: Segment, reader: Reader
) -> Block | None:
    if segment.contents is None:
        return None
    block = empty_block(header, segment.head.span)
    held = held_bytes(header, segment.head.span)
    for number, stage in enumerate(header.stages[: header.kept]):
        model = models[stage.model]
        reader.limits.check(reader.name, "memory", held + model.memory(block, number))
        try:
            codes = model.decode(block, number, segment.contents[number])
            if codes_checksum(codes) != segment.head.chunks[number].codes_crc:
                raise CodecError(
                    f"expected codes with the checksum of stage {number + 1}, got others; "
                    "the file is damaged or its entropy model is another: compress again"
                )
        except CodecError as error:
            reason, hint = str(error), model.hint(header)
            if hint:
                reason = f"{reason.partition(';')[0]}; {hint}"
            raise CodecError(f"{reader.name}: {reason}") from None
        block.codes += codes
    return block


def _signals(
    span: Span, block: Block | None, parts: list[tuple[Span, Block | None]]
) -> Iterator[CodedSignal | None]:
    """Whole signals of a decoded segment; parts are kept until the signal is complete."""
    if span.rows is not None:
        parts.append((span, block))
        if span.rows[1] == span.runs[0][1][0]:
            yield _joined(parts)
            parts.clear()
        return
    at = [0] * (0 if block is None else len(block.grids))
    for run, (count, size) in enumerate(span.runs):
        for _ in range(count):
            if block is None:
                yield None
                continue
            streams = []
            for stage, grids in enumerate(block.grids):
                height, width = grids[run][1]
                first, at[stage] = at[stage], at[stage] + height * width
                streams += [
                    block.codes[stream][first : at[stage]].reshape(height, width)
                    for stream in block.streams(stage)
                ]
            yield CodedSignal(size, tuple(streams))


def _joined(parts: Sequence[tuple[Span, Block | None]]) -> CodedSignal | None:
    blocks = [block for _, block in parts if block is not None]
    if len(blocks) < len(parts):
        return None
    streams = []
    for stage in range(len(blocks[0].grids)):
        for stream in blocks[0].streams(stage):
            pieces = [block.codes[stream].reshape(block.grids[stage][0][1]) for block in blocks]
            streams.append(np.concatenate(pieces))
    return CodedSignal(parts[0][0].runs[0][1], tuple(streams))
