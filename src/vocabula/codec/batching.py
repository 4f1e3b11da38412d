"""Batches of signals to coded signals and back, several at a time as far as memory allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vocabula.budgets import BATCH_POSITIONS, BATCH_ROWS, BATCH_VALUES, LONG_SAMPLES
from vocabula.codec.blocks import block_images, holds_blocks
from vocabula.codec.layouts import extent_of, from_signals, to_signals
from vocabula.codec.reader import Models, Reader
from vocabula.codec.signal_reading import read_signals
from vocabula.codec.writer import CodedSignal
from vocabula.data.long_signal import Parts
from vocabula.errors import DataError
from vocabula.levels import levels_of
from vocabula.quantizers.dropout import ABSENT
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.passing import decoded_parts, takes_parts


def rows_at_once(channels: int) -> int:
    """How many signals without axes go through the network together, into one coded signal."""
    return max(1, min(BATCH_ROWS, BATCH_VALUES // channels))


def encoded(
    tokenizer: SignalTokenizer, signals: Tensor | Iterable[Tensor], *, lossless: bool = False
) -> Iterator[CodedSignal]:
    """The coded signals of a batch (B, C, *extent), or of signals of any extent.

    Args:
        tokenizer: with a codebook.
        signals: a batch; or single signals (C, *extent); or without axes batches (B, C).
        lossless: also code the exact values.

    Raises:
        DataError: signals have a wrong shape, type or value.
    """
    if not tokenizer.strides:
        batches = [signals] if isinstance(signals, Tensor) else signals
        for rows in regrouped(batches, tokenizer):
            yield from encode_batch(tokenizer, rows)
        return
    waiting: list[Tensor] = []
    for signal in signals:
        same = bool(waiting) and signal.shape[1:] == waiting[0].shape[1:]
        if waiting and not (same and _fits(len(waiting), signal.shape[1:])):
            yield from encode_batch(tokenizer, torch.stack(waiting), lossless=lossless)
            waiting = []
        waiting.append(signal)
    if waiting:
        yield from encode_batch(tokenizer, torch.stack(waiting), lossless=lossless)


def regrouped(batches: Iterable[Tensor], tokenizer: SignalTokenizer) -> Iterator[Tensor]:
    """Signals without axes in batches of `rows_at_once`: files do not depend on the given ones.

    Raises:
        DataError: a batch has a wrong shape or type.
    """
    most, waiting, rows = rows_at_once(tokenizer.channels), list[Tensor](), 0
    for batch in batches:
        tokenizer.signal.refuse(batch)
        for part in batch.split(most):
            waiting.append(part)
            rows += len(part)
            if rows >= most:
                joined = torch.cat(waiting)
                yield joined[:most]
                waiting, rows = [joined[most:]], rows - most
    if rows:
        yield torch.cat(waiting)


def codes_of(tokenizer: SignalTokenizer, x: Tensor) -> Sequence[Tensor]:
    """The codes of each level of a batch (B, C, *extent), on the tokenizer's device."""
    with inference(tokenizer) as device:
        return levels_of(tokenizer.encode(x.to(device)))


def encode_batch(
    tokenizer: SignalTokenizer, x: Tensor, *, lossless: bool = False
) -> list[CodedSignal]:
    """The coded signals of a batch (B, C, *extent): one each, or one in all without axes.

    Args:
        tokenizer: with a codebook.
        x: signals of one extent.
        lossless: also code the exact values, which must be uint8.

    Raises:
        DataError: signals have a wrong shape, type or value.
    """
    if lossless and x.dtype != torch.uint8:
        raise DataError(
            f"lossless: expected uint8 {tokenizer.signal.plural}, got {x.dtype}; give the values "
            "as they were read"
        )
    signals = to_signals(codes_of(tokenizer, x), x.shape[2:])
    if not lossless:
        return signals
    exact = x.cpu().numpy()
    return [
        replace(signal, streams=(*signal.streams, *values))
        for signal, values in zip(signals, exact, strict=True)
    ]


def decoded(
    reader: Reader, tokenizer: SignalTokenizer | None, models: Models, *, jobs: int = 1
) -> Iterator[Tensor]:
    """The signals of a file in order; signals of equal extent are decoded together.

    Args:
        reader: of the file.
        tokenizer: the one that wrote it, see `check_tokenizer`; None for blocks.
        models: gives the entropy model for a name in the header.
        jobs: threads that decode codes.

    Returns:
        Signals (C, *extent) one by one; without axes batches (B, C).

    Raises:
        CodecError: the file is damaged or has another entropy model.
    """
    found = _decoded_signals(reader, tokenizer, models, jobs, in_parts=False)
    return cast("Iterator[Tensor]", found)


def _decoded_signals(
    reader: Reader, tokenizer: SignalTokenizer | None, models: Models, jobs: int, *, in_parts: bool
) -> Iterator[Tensor | Parts]:
    """The signals of `decoded`, perhaps long ones in parts."""
    if holds_blocks(reader.header):
        yield from block_images(reader, models, jobs=jobs)
        return
    assert tokenizer is not None, "ask `check_needs_none` first"
    waiting: list[CodedSignal] = []
    exact = reader.header.cut(reader.stages).lossless
    in_parts = in_parts and takes_parts(tokenizer, encodes=False)
    for signal in read_signals(reader, models, jobs=jobs):
        assert signal is not None, "damage raises"
        if exact:
            values = np.stack(signal.streams[-tokenizer.channels :])
            yield torch.from_numpy(values.astype(np.uint8))
            continue
        same = bool(waiting) and bool(tokenizer.strides) and signal.size == waiting[0].size
        if waiting and not (same and _fits(len(waiting), signal.size)):
            yield from _decoded(tokenizer, waiting)
            waiting = []
        if in_parts and signal.size[0] * tokenizer.channels > LONG_SAMPLES:
            yield _long(tokenizer, signal)
        else:
            waiting.append(signal)
    if waiting:
        yield from _decoded(tokenizer, waiting)


def _long(tokenizer: SignalTokenizer, signal: CodedSignal) -> Parts:
    """A signal in parts; only the codes of one part are unpacked at a time."""
    (length,) = extent_of(signal, tokenizer)

    def codes_at(places: Sequence[slice]) -> list[Tensor]:
        streams = iter(signal.streams)
        found = []
        for level, place in zip(tokenizer.levels, places, strict=True):
            books = [*itertools.islice(streams, len(level.codebook_sizes))]
            codes = torch.full((1, place.stop - place.start, len(level.codebook_sizes)), ABSENT)
            for number, stream in enumerate(books):
                part = stream.reshape(-1)[place].astype(np.int64)
                codes[0, :, number] = torch.from_numpy(part)
            found.append(codes.reshape(*codes.shape[:2], *level.code_shape))
        return found

    return decoded_parts(tokenizer, codes_at, length)


def decoded_bounded(
    reader: Reader, tokenizer: SignalTokenizer | None, models: Models, *, jobs: int = 1
) -> Iterator[Tensor | Parts]:
    """As `decoded`, but signals that are too long to be held come in parts."""
    return _decoded_signals(reader, tokenizer, models, jobs, in_parts=True)


def _fits(count: int, extent: Sequence[int]) -> bool:
    """Whether one more signal of the same extent may join a batch of `count`."""
    return (count + 1) * math.prod(extent) <= BATCH_POSITIONS


def _decoded(tokenizer: SignalTokenizer, signals: Sequence[CodedSignal]) -> Iterator[Tensor]:
    extent = extent_of(signals[0], tokenizer)
    codes = from_signals(signals, tokenizer)
    if extent:
        yield from _stored(tokenizer, codes, extent)
        return
    most = rows_at_once(tokenizer.channels)
    for part in zip(*(level.split(most) for level in codes), strict=True):
        yield _stored(tokenizer, part, extent)


def _stored(tokenizer: SignalTokenizer, codes: Sequence[Tensor], extent: Sequence[int]) -> Tensor:
    """Decoded signals (B, C, *extent) on the CPU, in the form that files of them have."""
    with inference(tokenizer) as device:
        levels = [level.to(device) for level in codes]
        return tokenizer.decode_stored(levels, size=extent).cpu()
