"""Writing compressed files: signals are gathered into segments, and those coded on threads."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.header import Header, Stage
from vocabula.codec.integers import checksum
from vocabula.codec.layout import Role, runs
from vocabula.codec.models import EntropyModel
from vocabula.codec.segment import SegmentHead, codes_checksum, decoded_bytes, seed_of
from vocabula.codec.span import Block, Chunk, Codes, Span, empty_block
from vocabula.errors import OptionError
from vocabula.files import new_file, output_errors

SEGMENT_BITS = 2**21
"""Bits at a fixed length after which a segment ends: it is 256 KiB of codes before compression."""

Target = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True)
class CodedSignal:
    """A signal as its codes.

    Attributes:
        size: of the signal in two numbers: (height, width), or see `kinds`.
        streams: for each book, an integer grid of codes, see `Stage.grid`.
    """

    size: tuple[int, ...]
    streams: tuple[NDArray[Any], ...]


def write_signals(
    target: Target,
    header: Header,
    models: Sequence[EntropyModel],
    signals: Iterable[CodedSignal],
    *,
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Write signals to one file, as they come.

    Args:
        target: a path, where the file appears when it is complete; or a binary stream.
        header: what holds for all of them.
        models: the entropy models that the header names, in its order.
        signals: at least one.
        jobs: threads that code.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        OptionError: there is no signal, or one does not fit the header, or a model has learned
            other books.
        OutputError: the file exists or cannot be written.
    """
    for model in models:
        if not model.serves(header.books):
            raise OptionError(
                f"entropy: expected counts or a prior of books of {header.books} codewords, got "
                f"those of {model.books}; count the codes again (vocabula counts RUN DATA), or "
                "give a prior of this tokenizer"
            )
    with opened_target(target, overwrite) as file:
        start = header.pack()
        file.write(start)
        total, number, waiting = len(start), 0, None
        for part in _coded(header, models, signals, jobs):
            if waiting is not None:
                total += _put(file, header, start, number, waiting, last=False)
                number += 1
            waiting = part
        if waiting is None:
            raise OptionError("compress: expected at least one signal, got none; give one")
        return total + _put(file, header, start, number, waiting, last=True)


@contextmanager
def opened_target(target: Target, overwrite: bool) -> Iterator[BinaryIO]:
    """A binary stream of a target: of a path, a hidden file that takes its name at the end."""
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target)
    with (
        output_errors(path),
        new_file(path, overwrite=overwrite) as hidden,
        open(hidden, "xb") as file,
    ):
        yield file


_Coded = tuple[Span, tuple[Chunk, ...], list[bytes]]


def _put(
    file: BinaryIO, header: Header, start: bytes, number: int, part: _Coded, *, last: bool
) -> int:
    span, chunks, contents = part
    seed, sampled = seed_of(start, number), header.signal.sampled
    head = SegmentHead(span, chunks, last).pack(seed, sampled=sampled)
    file.write(head)
    for content in contents:
        file.write(content)
    return len(head) + sum(map(len, contents))


def _coded(
    header: Header, models: Sequence[EntropyModel], signals: Iterable[CodedSignal], jobs: int
) -> Iterator[_Coded]:
    """Segments in order, coded on `jobs` threads, a few ahead."""
    if jobs < 1:
        raise OptionError(f"jobs: expected an integer >= 1, got {jobs}")
    segments = _segments(header, signals)
    if jobs == 1:
        for span, block in segments:
            yield _code(header, models, span, block)
        return
    waiting: deque[Future[_Coded]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        for span, block in segments:
            waiting.append(pool.submit(_code, header, models, span, block))
            if len(waiting) > 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _code(header: Header, models: Sequence[EntropyModel], span: Span, block: Block) -> _Coded:
    chunks, contents = [], []
    for number, stage in enumerate(header.stages[: header.kept]):
        content = models[stage.model].encode(block, number)
        contents.append(content)
        codes_crc = codes_checksum(block.codes[stream] for stream in block.streams(number))
        chunks.append(Chunk(len(content), checksum(content), codes_crc))
    return span, tuple(chunks), contents


def _segments(header: Header, signals: Iterable[CodedSignal]) -> Iterator[tuple[Span, Block]]:
    """Signals in segments of about `SEGMENT_BITS`: several small ones, or parts of a large one."""
    waiting: list[CodedSignal] = []
    gathered = memory = 0
    most = header.signal.segment_bytes or math.inf
    for signal in signals:
        bits, held = _bits(header, signal.size), decoded_bytes(header, math.prod(signal.size))
        if waiting and (gathered + bits > SEGMENT_BITS or memory + held > most):
            yield _whole(header, waiting)
            waiting, gathered, memory = [], 0, 0
        if bits > 2 * SEGMENT_BITS:
            yield from _parts(header, signal, bits)
        else:
            waiting.append(signal)
            gathered, memory = gathered + bits, memory + held
    if waiting:
        yield _whole(header, waiting)


def _bits(header: Header, size: tuple[int, ...]) -> int:
    """Bits of a signal's codes at a fixed length; a value of exact pixels counts as one.

    Their model needs many to learn from.
    """
    total = 0
    for stage in header.stages[: header.kept]:
        exact = stage.role == Role.RESIDUAL
        each = sum(1 if exact else max(1, (k - 1).bit_length()) for k in stage.symbols)
        total += math.prod(stage.grid(size)) * each
    return total


def _whole(header: Header, signals: Sequence[CodedSignal]) -> tuple[Span, Block]:
    span = Span(tuple(runs([signal.size for signal in signals])))
    block = empty_block(header, span)
    block.codes += _flat_codes(header, signals)
    return span, block


def _parts(header: Header, signal: CodedSignal, bits: int) -> Iterator[tuple[Span, Block]]:
    flat = _flat_codes(header, [signal])
    unit = math.lcm(*(stage.strides[0] for stage in header.stages))
    rows = max(1, signal.size[0] * SEGMENT_BITS // bits // unit) * unit
    for first in range(0, signal.size[0], rows):
        after = min(first + rows, signal.size[0])
        span = Span(((1, signal.size),), (first, after))
        block = empty_block(header, span)
        for number, stage in enumerate(header.stages[: header.kept]):
            above, below = (
                math.prod(stage.grid((row, *signal.size[1:]))) for row in (first, after)
            )
            block.codes += [flat[stream][above:below] for stream in block.streams(number)]
        yield span, block


def _flat_codes(header: Header, signals: Sequence[CodedSignal]) -> list[Codes]:
    """The codes (positions,) of each stream, those of one signal after another.

    Raises:
        OptionError: a signal has no size, or codes are of another grid or outside their book.
    """
    stages = [stage for stage in header.stages[: header.kept] for _ in stage.symbols]
    grids: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for signal in signals:
        if signal.size not in grids:
            grids[signal.size] = _grids(stages, signal.size)
        for wanted, codes in zip(grids[signal.size], signal.streams, strict=False):
            if codes.shape != wanted:
                raise OptionError(
                    f"codes: expected a grid of {wanted} for a signal of {signal.size}, got "
                    f"{codes.shape}; give the size of the signal itself"
                )
    found = []
    for stream, symbols in enumerate(header.symbols):
        parts = [signal.streams[stream].reshape(-1) for signal in signals]
        flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if flat.dtype.kind not in "iu" or int(flat.min()) < 0 or int(flat.max()) >= symbols:
            raise OptionError(
                f"codes: expected integers in [0, {symbols}), got {flat.dtype} in "
                f"[{flat.min()}, {flat.max()}]; use the codes of this tokenizer"
            )
        found.append(np.ascontiguousarray(flat, np.uint32))
    return found


def _grids(stages: Sequence[Stage], size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The grids of a signal's streams."""
    if min(size) < 1:
        raise OptionError(
            f"compress: expected signals of at least one value, got size {size}; leave empty ones "
            "out"
        )
    return [stage.grid(size) for stage in stages]
