"""Writing and reading codes and images: the functions that programs call."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocabula.codec.blocks import block_images, check_needs_none, holds_blocks
from vocabula.codec.choice import choose_model, known_models, statistics_of
from vocabula.codec.header import Header
from vocabula.codec.layouts import (
    check_tokenizer,
    codes_header,
    from_signals,
    to_signals,
    tokenizer_header,
)
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel, with_pixels
from vocabula.codec.reader import Models, Reader, Source, opened, read_signals
from vocabula.codec.segment import SegmentHead, seed_of
from vocabula.codec.writer import CodedSignal, Target, opened_target, write_signals
from vocabula.errors import CodecError, DataError, OptionError
from vocabula.levels import array_of, levels_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import inference

__all__ = ["CodeFile", "cut", "read", "read_codes", "to_bytes", "write", "write_codes"]

BATCH_PIXELS = 2**19
"""Most pixels that the network takes at a time, where it takes several images."""


@dataclass(frozen=True)
class CodeFile:
    """The codes of a file.

    Attributes:
        header: what the file says about itself.
        codes: for each signal a uint32 array, (h, w) for one book or (h, w, books) for several; for
            several levels a tuple of these, the coarsest first; None for a damaged signal that was
            skipped.
        sizes: (height, width) of each signal, in the same order.
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
    """Read the codes of a file, of images or of grids.

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
    images: Tensor | Sequence[Tensor],
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
    """Compress images to one file.

    Args:
        target: a path or a binary stream.
        images: (B, C, H, W), or a sequence of (C, H, W) of any sizes; uint8, or in [0, 1].
        tokenizer: a tokenizer with a codebook.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of its codes; static needs them, adaptive compresses better with them.
            None takes the tokenizer's own.
        stages: keep only this many first stages of a residual quantizer.
        lossless: also store the exact pixels of uint8 images, as a last stage.
        names: of the images, stored in the file.
        jobs: threads that code.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        DataError: images have a wrong shape, type or value.
        OptionError: there is no image, or an option does not fit the tokenizer.
        OutputError: the file exists or cannot be written.

    Example:
        >>> written = write("photos.vcb", images, vocabula.load("runs/photos"))
        >>> read("photos.vcb", vocabula.load("runs/photos"))[0].shape
        torch.Size([3, 12, 10])
    """
    model = choose_model(entropy, statistics_of(tokenizer, statistics))
    if names and len(names) != len(images):
        raise OptionError(f"names: expected {len(images)}, got {len(names)}; give one an image")
    header, coders = tokenizer_header(tokenizer, model, stages=stages, names=names), [model]
    if lossless:
        coders.append(PixelModel(tokenizer))
        header = with_pixels(header, coders[1])
    signals = _encoded(tokenizer, images, lossless=lossless)
    return write_signals(target, header, coders, signals, jobs=jobs, overwrite=overwrite)


def _encoded(
    tokenizer: SignalTokenizer, images: Tensor | Sequence[Tensor], *, lossless: bool
) -> Iterator[CodedSignal]:
    first = 0
    for i in range(1, len(images) + 1):
        size = tuple(images[first].shape[-2:])
        if i == len(images) or not _fits(i - first, size, tuple(images[i].shape[-2:])):
            batch = torch.stack([*images[first:i]])
            yield from encode_images(tokenizer, batch, lossless=lossless)
            first = i


def encode_images(
    tokenizer: SignalTokenizer, images: Tensor, *, lossless: bool = False
) -> list[CodedSignal]:
    """The streams of each image of a batch (B, C, H, W), optionally with its pixels.

    Raises:
        DataError: lossless is set, and the images are not uint8.
    """
    if lossless and images.dtype != torch.uint8:
        raise DataError(
            f"lossless: expected uint8 images, got {images.dtype}; give the pixels as they were "
            "read"
        )
    with inference(tokenizer) as device:
        levels = levels_of(tokenizer.encode(images.to(device)))
    signals = to_signals(levels, tuple(images.shape[-2:]))
    if not lossless:
        return signals
    pixels = images.cpu().numpy()
    return [
        replace(signal, streams=(*signal.streams, *image))
        for signal, image in zip(signals, pixels, strict=True)
    ]


def read(
    source: Source,
    tokenizer: SignalTokenizer | None = None,
    *,
    statistics: CodeStatistics | None = None,
    models: Sequence[EntropyModel] = (),
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
) -> list[Tensor]:
    """Decompress the images of a file.

    Args:
        source: a path, bytes or a binary stream.
        tokenizer: the one that wrote it; a file of `write_blocks` needs none.
        statistics: the counts it was written with, if any; None takes the tokenizer's own.
        models: further entropy models that it may have been written with.
        stages: decode only this many first stages.
        limits: caps on what the file may hold.
        jobs: threads that decode.

    Returns:
        uint8 images (C, H, W).

    Raises:
        CodecError: the file is damaged, foreign, too large, or needs another tokenizer or model.
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
        return list(decoded_images(reader, tokenizer, found, jobs=jobs))


def decoded_images(
    reader: Reader, tokenizer: SignalTokenizer | None, models: Models, *, jobs: int = 1
) -> Iterator[Tensor]:
    """The images of a file one by one, as `read` gives them; images of equal size decode together.

    Args:
        reader: of the file.
        tokenizer: the one that wrote it, see `check_tokenizer`; None for blocks.
        models: gives the entropy model for a name in the header.
        jobs: threads that decode codes.

    Raises:
        CodecError: the file is damaged or has another entropy model.
    """
    if holds_blocks(reader.header):
        yield from block_images(reader, models, jobs=jobs)
        return
    assert tokenizer is not None, "ask `check_needs_none` first"
    waiting: list[CodedSignal] = []
    exact = reader.header.cut(reader.stages).lossless
    for signal in read_signals(reader, models, jobs=jobs):
        assert signal is not None, "damage raises"
        if exact:
            pixels = np.stack(signal.streams[-tokenizer.channels :])
            yield torch.from_numpy(pixels.astype(np.uint8))
            continue
        if waiting and not _fits(len(waiting), waiting[0].size, signal.size):
            yield from _decoded(tokenizer, waiting)
            waiting = []
        waiting.append(signal)
    if waiting:
        yield from _decoded(tokenizer, waiting)


def _fits(count: int, size: tuple[int, ...], more: tuple[int, ...]) -> bool:
    """Whether one more image may join a batch of `count`."""
    return more == size and (count + 1) * math.prod(size) <= BATCH_PIXELS


def _decoded(tokenizer: SignalTokenizer, signals: Sequence[CodedSignal]) -> Iterator[Tensor]:
    height, width = signals[0].size
    with inference(tokenizer) as device:
        codes = [level.to(device) for level in from_signals(signals, tokenizer)]
        images = tokenizer.decode_stored(codes, size=(height, width))
    yield from images.cpu()


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
    images: Tensor | Sequence[Tensor], tokenizer: SignalTokenizer, **options: Any
) -> bytes:
    """Compress images to bytes; options as for `write`."""
    file = io.BytesIO()
    write(file, images, tokenizer, **options)
    return file.getvalue()
