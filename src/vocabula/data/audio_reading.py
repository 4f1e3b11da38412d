"""From a recording in a file to samples at a rate and with channels of the caller's choice.

::

    clip --blocks--> mix channels --> resample (soxr, high quality) --> float32 (channels, time)

A recording at a rate r, heard at R, has round(n R / r) samples for the n that were read, and at
least one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from vocabula.budgets import WHOLE_SAMPLES
from vocabula.data.audio_clips import BrokenAudioError, Clip, LongAudioError

BLOCK = 2**16
"""Samples of a file that are decoded together."""
_FARTHEST = 64
"""The highest quotient of a recording's rate and the wanted one, and its inverse."""
_LOUDEST = 100.0
"""Floating-point values beyond it are integers, or noise, and no sound of full scale 1."""
_MARGIN = 1024
"""Samples of the lower rate beside a span that the filter may need: it spans about 200."""


def check_header(clip: Clip, sample_rate: int, channels: int) -> None:
    """Refuse a recording that cannot become one of the wanted rate and channels.

    Raises:
        BrokenAudioError: why.
    """
    if not sample_rate <= clip.rate * _FARTHEST <= sample_rate * _FARTHEST**2:
        raise BrokenAudioError(f"a sample rate of {clip.rate} Hz, too far from {sample_rate} Hz")
    if channels not in (1, clip.channels) and clip.channels != 1:
        raise BrokenAudioError(f"{clip.channels} channels, which do not become {channels}")


def mixed(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Samples (n, C) with other channels: one is the mean of all, or all are copies of one."""
    if samples.shape[1] == channels:
        return samples
    if channels == 1:
        return samples.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.repeat(samples, channels, axis=1)


def resampled_length(count: int, rate: int, sample_rate: int) -> int:
    """How many samples at `sample_rate` a recording of `count` at `rate` has."""
    return max(1, (2 * count * sample_rate + rate) // (2 * rate)) if count else 0


def resampled_blocks(clip: Clip, sample_rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    """All samples of a recording, in blocks (channels, time) of any lengths.

    The same for every use of the recording: blocks of a file are always of `BLOCK` samples.

    Raises:
        BrokenAudioError: see `check_header`; or the data are damaged, not finite, or no sound.
    """
    check_header(clip, sample_rate, channels)
    stream = None
    if clip.rate != sample_rate:
        stream = soxr.ResampleStream(clip.rate, sample_rate, channels, dtype="float32")
    read = given = 0
    while True:
        block = _checked(clip.read(BLOCK))
        read += len(block)
        ends = len(block) < BLOCK
        block = mixed(block, channels)
        if stream is not None:
            block = stream.resample_chunk(np.ascontiguousarray(block), last=ends)
        wanted = resampled_length(read, clip.rate, sample_rate)
        if ends:
            block = _of_length(block, wanted - given)
        given += len(block)
        if len(block):
            yield np.ascontiguousarray(block.T)
        if ends:
            return


def whole(
    clip: Clip, sample_rate: int, channels: int, most: int = WHOLE_SAMPLES
) -> NDArray[np.float32]:
    """A whole recording (channels, time).

    Raises:
        LongAudioError: it has more than `most` values.
        BrokenAudioError: see `resampled_blocks`; or it has no sample.
    """
    blocks, length = [], 0
    for block in resampled_blocks(clip, sample_rate, channels):
        blocks.append(block)
        length += block.shape[1]
        if length * channels > most:
            hours = most / channels / sample_rate / 3600
            raise LongAudioError(f"more than {hours:.1f} hours; cut it into parts")
    if not length:
        raise BrokenAudioError("no samples")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def count_frames(clip: Clip) -> int:
    """How many samples a recording has at its own rate: those that can be read.

    Where reading can start anywhere, the last promised one is read; else all are.
    """
    if clip.seeks and clip.frames:
        clip.seek(clip.frames - 1)
        if len(clip.read(2)) == 1:
            return clip.frames
        clip.seek(0)
    count = 0
    while found := len(clip.read(BLOCK)):
        count += found
    return count


def checked_length(clip: Clip, sample_rate: int, channels: int) -> int:
    """How many samples `resampled_blocks` gives, after all have been read and checked.

    Raises:
        BrokenAudioError: see `resampled_blocks`; or it has no sample.
    """
    check_header(clip, sample_rate, channels)
    count = 0
    while found := len(_checked(clip.read(BLOCK))):
        count += found
    if not count:
        raise BrokenAudioError("no samples")
    return resampled_length(count, clip.rate, sample_rate)


def span(clip: Clip, sample_rate: int, channels: int, start: int, stop: int) -> NDArray[np.float32]:
    """The samples [start, stop) at `sample_rate` of a recording, as (channels, n).

    Memory depends on the span alone. They are those of the whole recording: bit for bit if the file
    is neither compressed with loss nor resampled, else up to rounding, about 1e-7. The filter
    starts where samples of both rates fall together. Fewer samples come at the end.

    Raises:
        BrokenAudioError: see `resampled_blocks`.
    """
    check_header(clip, sample_rate, channels)
    common = math.gcd(clip.rate, sample_rate)
    ours, theirs = sample_rate // common, clip.rate // common  # samples in one period of both
    margin = 0
    if ours != theirs:
        margin = -(-_MARGIN * max(clip.rate, sample_rate) // sample_rate // theirs)
    first = max(0, start // ours - margin)  # in periods
    last = -(-stop // ours) + margin
    _go(clip, first * theirs)
    found = mixed(_checked(_read_all(clip, (last - first) * theirs)), channels)
    if ours != theirs:
        found = soxr.resample(np.ascontiguousarray(found), clip.rate, sample_rate)
    here = slice(start - first * ours, stop - first * ours)
    return np.ascontiguousarray(found[here].T)


def _of_length(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Samples (n, C) cut, or with zeros behind, to a length: the filter may round otherwise."""
    if len(samples) == count:
        return samples
    return np.pad(samples[:count], ((0, max(0, count - len(samples))), (0, 0)))


def _go(clip: Clip, frame: int) -> None:
    """Go to a sample, by reading what is before it where a jump would change what is heard."""
    if clip.seeks:
        clip.seek(frame)
        return
    while clip.at < frame:
        if not len(clip.read(min(BLOCK, frame - clip.at))):
            return


def _read_all(clip: Clip, count: int) -> NDArray[np.float32]:
    """The next `count` samples; a damaged header may ask for more than there are."""
    blocks = [np.empty((0, clip.channels), np.float32)]
    while count:
        block = clip.read(min(BLOCK, count))
        if not len(block):
            break
        blocks.append(block)
        count -= len(block)
    return np.concatenate(blocks)


def _checked(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples that are finite and within what sound can be."""
    if not samples.size:
        return samples
    peak = max(-float(samples.min()), float(samples.max()))
    if not math.isfinite(peak):  # NaN lasts in either extreme
        raise BrokenAudioError("NaN or infinity")
    if peak > _LOUDEST:
        raise BrokenAudioError(f"values up to {peak:.4g}; divide them, full scale is 1")
    return samples
