"""Writing and reading codes and signals: the functions that programs call."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocabula.codec.batching import decoded, encoded
from vocabula.codec.blocks import check_needs_none, holds_blocks
from vocabula.codec.choice import choose_model, known_models, statistics_of
from vocabula.codec.header import Header
from vocabula.codec.layouts import (
    check_tokenizer,
    codes_header,
    tokenizer_header,
)
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel, with_pixels
from vocabula.codec.reader import Reader, Source, opened, read_signals
from vocabula.codec.segment import SegmentHead, seed_of
from vocabula.codec.writer import CodedSignal, Target, opened_target, write_signals
from vocabula.errors import CodecError, OptionError
from vocabula.levels import array_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

__all__ = ["CodeFile", "cut", "read", "read_codes", "to_bytes", "write", "write_codes"]


@dataclass(frozen=True)
class CodeFile:
    """The codes of a file.

    Attributes:
        header: what the file says about itself.
        codes: for each signal a uint32 array, (h, w) for one book or (h, w, books) for several; for
            several levels a tuple of these, the coarsest first; None for a damaged signal that was
            skipped.
        sizes: (height, width) of each signal, in the same order; see `kinds` for signals of other
            than two axes, of which w is 1.
    """

    header: Header
    codes: list[Any]
    sizes: list[tuple[int, ...] | None]


def write_codes(
    target: Target,
    codes: Iterable[Any],
    codebook_sizes: Sequence[int],
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Write grids of codes of any origin to one file.

    Args:
        target: a path or a binary stream.
        codes: for each signal an integer grid, (h, w) for one book or (h, w, books): an array, a
            list of rows, or a tensor on any device, such as ``quantizer.encode`` gives.
        codebook_sizes: K of each book.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of such codes; static needs them, adaptive compresses better with them.
        jobs: threads.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        OptionError: codes do not fit the books, or there are none.
        OutputError: the file exists or cannot be written.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> size = write_codes(file, [np.zeros((4, 4), np.int64)], [512])
        >>> read_codes(file.getvalue()).codes[0].shape
        (4, 4)
    """
    model = choose_model(entropy, statistics)
    header = codes_header(codebook_sizes, model)
    signals = (_grid_signal(grid, len(codebook_sizes)) for grid in codes)
    return write_signals(target, header, [model], signals, jobs=jobs, overwrite=overwrite)


def _grid_signal(grid: Any, books: int) -> CodedSignal:
    expected = "(h, w)" if books == 1 else f"(h, w, {books})"
    grid = array_of(grid)
    if grid.dtype.kind not in "iu":
        raise OptionError(f"codes: expected integers, got {grid.dtype}; give what encode returned")
    if grid.ndim != 2 + (books > 1) or (books > 1 and grid.shape[-1] != books):
        raise OptionError(
            f"codes: expected a grid {expected}, got shape {grid.shape}; reshape it, a sequence "
            "is one row"
        )
    return CodedSignal(grid.shape[:2], tuple(grid.reshape(*grid.shape[:2], books).T.swapaxes(1, 2)))


def read_codes(
    source: Source,
    *,
    statistics: CodeStatistics | None = None,
    models: Sequence[EntropyModel] = (),
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
    skip_damaged: bool = False,
) -> CodeFile:
    """Read the codes of a file of any kind.

    Args:
        source: a path, bytes or a binary stream.
        statistics: the counts it was written with, if any.
        models: further entropy models that it may have been written with.
        stages: read only this many first stages.
        limits: caps on what the file may hold.
        jobs: threads.
        skip_damaged: give None for signals of a damaged segment, instead of raising.

    Raises:
        CodecError: the file is damaged, foreign, too large, or has another entropy model.
    """
    with opened(source) as (file, name):
        reader = Reader(
            file, name, limits=limits, stages=stages, skip_damaged=skip_damaged, gathers=True
        )
        reader.stages -= reader.header.cut(reader.stages).lossless  # pixels are not codes
        found = CodeFile(reader.header, [], [])
        for signal in read_signals(reader, known_models(name, statistics, models), jobs=jobs):
            found.codes.append(None if signal is None else _grids(reader, signal))
            found.sizes.append(None if signal is None else signal.size)
        return found


def _grids(reader: Reader, signal: CodedSignal) -> Any:
    """Codes (h, w) or (h, w, books) of each level; a single level is not in a tuple."""
    stages = reader.header.stages[: reader.stages]
    streams = iter(signal.streams)
    levels = []
    for _, same in itertools.groupby(stages, key=lambda stage: (stage.strides, stage.factors)):
        grids = [next(streams) for stage in same for _ in stage.symbols]
        levels.append(grids[0] if len(grids) == 1 else np.stack(grids, -1))
    return levels[0] if len(levels) == 1 else tuple(levels)


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
            fingerprint = tokenizer.fingerprint()
            check_tokenizer(reader.header.cut(reader.stages), tokenizer, name, fingerprint)
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
        total = out.write(start)
        for number, segment in enumerate(reader.segments()):
            contents = segment.contents
            if contents is None:
                raise CodecError(f"{name}: expected whole chunks, got a damaged one; copy it again")
            chunks = segment.head.chunks[: len(contents)]
            head = SegmentHead(segment.head.span, chunks, segment.head.last)
            total += out.write(head.pack(seed_of(start, number)))
            total += sum(out.write(content) for content in contents)
        return total


def to_bytes(
    signals: Tensor | Iterable[Tensor], tokenizer: SignalTokenizer, **options: Any
) -> bytes:
    """Compress signals to bytes; options as for `write`."""
    file = io.BytesIO()
    write(file, signals, tokenizer, **options)
    return file.getvalue()
