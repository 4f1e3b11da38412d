"""Writing and reading codes and signals: the functions that programs call."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.codec.batching import decoded, encoded
from vocabula.codec.blocks import check_needs_none, holds_blocks
from vocabula.codec.choice import choose_model
from vocabula.codec.header import Header
from vocabula.codec.known_models import known_models, statistics_of
from vocabula.codec.layouts import check_tokenizer
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel, with_pixels
from vocabula.codec.reader import Reader, Source, opened
from vocabula.codec.segment import SegmentHead, seed_of
from vocabula.codec.stages import tokenizer_header
from vocabula.codec.writer import CodedSignal, Target, opened_target, write_signals
from vocabula.errors import CodecError, OptionError
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

__all__ = ["cut", "read", "to_bytes", "write"]


def write(
    target: Target,
    signals: Tensor | Iterable[Tensor],
    tokenizer: SignalTokenizer,
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    stages: int | None = None,
    lossless: bool = False,
    names: Sequence[str] = (),
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Compress signals to one file.

    Args:
        target: a path or a binary stream.
        signals: a batch (B, C, *extent), such as images (B, C, H, W) or vectors (B, C); or signals
            (C, *extent) of any extents; or, for signals without axes, batches (B, C), of which one
            is in memory at a time.
        tokenizer: a tokenizer with a codebook.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of its codes; static needs them, adaptive compresses better with them.
            None takes the tokenizer's own.
        stages: keep only this many first stages of a residual quantizer.
        lossless: also store the exact pixels of uint8 images, as a last stage.
        names: of the signals, stored in the file: one each, for vectors one a row.
        jobs: threads that code.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        DataError: signals have a wrong shape, type or value.
        OptionError: there is no signal, or an option does not fit the tokenizer.
        OutputError: the file exists or cannot be written.

    Example:
        >>> written = write("photos.vcb", images, vocabula.load("runs/photos"))
        >>> read("photos.vcb", vocabula.load("runs/photos"))[0].shape
        torch.Size([3, 12, 10])
    """
    model = choose_model(entropy, statistics_of(tokenizer, statistics))
    header, coders = tokenizer_header(tokenizer, model, stages=stages, names=names), [model]
    if lossless:
        coders.append(PixelModel(tokenizer))
        header = with_pixels(header, coders[1])
    coded = encoded(tokenizer, signals, lossless=lossless)
    if names:
        coded = _named(coded, header, len(names))
    return write_signals(target, header, coders, coded, jobs=jobs, overwrite=overwrite)


def _named(signals: Iterable[CodedSignal], header: Header, names: int) -> Iterator[CodedSignal]:
    """The same signals, which must be as many as names."""
    count = 0
    for signal in signals:
        count += header.signal.count(signal.size)
        yield signal
    if count != names:
        raise OptionError(f"names: expected {count}, got {names}; give one for each signal")


def read(
    source: Source,
    tokenizer: SignalTokenizer | None = None,
    *,
    statistics: CodeStatistics | None = None,
    models: Sequence[EntropyModel] = (),
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
) -> list[Tensor] | Tensor:
    """Decompress the signals of a file.

    Args:
        source: a path, bytes or a binary stream.
        tokenizer: the one that wrote it; a file of `write_blocks` needs none.
        statistics: the counts it was written with, if any; None takes the tokenizer's own.
        models: further entropy models that it may have been written with.
        stages: decode only this many first stages.
        limits: caps on what the file may hold.
        jobs: threads that decode.

    Returns:
        A list of signals (C, *extent), of images uint8 (C, H, W); without axes one tensor (N, C),
        of vectors float32.

    Raises:
        CodecError: the file is damaged, foreign, too large, or of another kind, or it needs another
            tokenizer or model.
    """
    with opened(source) as (file, name):
        reader = Reader(file, name, limits=limits, stages=stages, gathers=True)
        if tokenizer is None:
            check_needs_none(reader.header, name)
        elif not holds_blocks(reader.header):
            models, statistics = (
                [*models, PixelModel(tokenizer)],
                statistics_of(tokenizer, statistics),
            )
            names = tokenizer.code_names()
            check_tokenizer(reader.header.cut(reader.stages), tokenizer, name, names)
        found = known_models(name, statistics, models)
        signals = list(decoded(reader, tokenizer, found, jobs=jobs))
        return signals if reader.header.signal.axes else torch.cat(signals)


def cut(
    source: Source,
    target: Target,
    stages: int,
    *,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> int:
    """Copy only a file's first stages: a lower rate without decoding anything.

    Args:
        source: a path, bytes or a binary stream.
        target: a path or a binary stream.
        stages: how many to keep.
        limits: caps on what the source may hold.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        CodecError: the source is damaged or foreign.
        OptionError: it has fewer stages, or its coarser levels take all of them.
        OutputError: the target exists or cannot be written.
    """
    with opened(source) as (file, name), opened_target(target, overwrite) as out:
        reader = Reader(file, name, limits=limits, stages=stages)
        start = reader.header.cut(stages).pack()
        total, sampled = out.write(start), reader.header.signal.sampled
        for number, segment in enumerate(reader.segments()):
            contents = segment.contents
            if contents is None:
                raise CodecError(f"{name}: expected whole chunks, got a damaged one; copy it again")
            chunks = segment.head.chunks[: len(contents)]
            head = SegmentHead(segment.head.span, chunks, segment.head.last)
            total += out.write(head.pack(seed_of(start, number), sampled=sampled))
            total += sum(out.write(content) for content in contents)
        return total


def to_bytes(
    signals: Tensor | Iterable[Tensor], tokenizer: SignalTokenizer, **options: Any
) -> bytes:
    """Compress signals to bytes; options as for `write`."""
    file = io.BytesIO()
    write(file, signals, tokenizer, **options)
    return file.getvalue()
