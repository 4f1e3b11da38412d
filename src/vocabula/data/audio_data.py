"""Batches of recordings for training."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from vocabula.budgets import CACHED_SAMPLES
from vocabula.data.ahead import map_ahead
from vocabula.data.audio import AudioSource, Samples
from vocabula.data.audio_clips import BrokenAudioError, Clips
from vocabula.data.audio_folder import FileClips
from vocabula.data.audio_opening import CLIP_SHARDS, open_audio
from vocabula.data.base import SignalData, Source
from vocabula.data.batch import Batch
from vocabula.data.order import Stream, Turns
from vocabula.data.pieces import Piece, files_of
from vocabula.errors import DataError, OptionError
from vocabula.registry import component
from vocabula.signals import Signal
from vocabula.signals.audio import Audio

CACHE_LIMIT = 2**30
"""Bytes of decoded recordings that are kept in memory."""
_LOOKED_AT = 32  # recordings whose length stands for that of all


@component("data", "audio")
class AudioData(SignalData):
    """How recordings are opened, cut into segments and batched.

    Batch k of a training run depends only on the data, these options, the seed and k: which
    recordings it has, and where their segments begin. Every recording is as likely as any other,
    however long it is.

    Args:
        sample_rate: samples per second of what is read; none takes that of the signal.
        channels: of what is read: 1 is the mean of all; 0 those of the first recording; other
            numbers take recordings of that number, or copy a single one.
        segment: seconds of random segments for training; shorter recordings are padded under a
            mask; none trains on whole recordings.
        labels: pattern of the files' names that gives attributes, such as
            {digit}_{speaker}_{index}; the field index is none; empty: sub-folders are classes.
        workers: threads that read ahead; 0 reads in the training thread.
        strict: refuse files that are broken or do not fit the pattern.
    """

    kept_options: ClassVar[tuple[str, ...]] = ("labels",)
    sized_by: ClassVar[str] = "segment"

    def __init__(
        self,
        *,
        sample_rate: Annotated[int, Ge(1)] | None = None,
        channels: Annotated[int, Ge(0)] = 1,
        segment: Annotated[float, Gt(0)] | None = None,
        labels: str = "",
        workers: Annotated[int, Ge(0), Le(256)] = 0,
        strict: bool = False,
    ) -> None:
        super().__init__(strict=strict)
        self.sample_rate, self.channels, self.segment = sample_rate, channels, segment
        self.labels, self.workers = labels, workers

    def for_signal(self, signal: Signal) -> AudioData:
        """The same options at the rate of the signal.

        Raises:
            OptionError: they state another rate.
        """
        assert isinstance(signal, Audio), "the kind of signal chose these data"
        if self.sample_rate not in (None, signal.sample_rate):
            raise OptionError(
                f"data.sample_rate: expected that of the signal, {signal.sample_rate}, got "
                f"{self.sample_rate}; leave it out, or change signal.sample_rate"
            )
        found = copy.copy(self)
        found.sample_rate = signal.sample_rate
        return found

    def open(
        self, path_or_name: str | os.PathLike[str], *, channels: int | None = None
    ) -> AudioSource:
        """Open recordings; see `open_audio`.

        Raises:
            OptionError: no sample rate is known.
            DataError: the data are missing, damaged or do not fit.
        """
        if self.sample_rate is None:
            raise OptionError("data.sample_rate: expected samples per second, got none; give it")
        return open_audio(
            path_or_name,
            sample_rate=self.sample_rate,
            channels=self.channels if channels is None else channels,
            labels=self.labels,
            strict=self.strict,
        )

    def open_files(
        self, place: str, pieces: Sequence[Piece], *, root: Path | None, channels: int | None
    ) -> AudioSource | None:
        """Files, row groups and tars are opened alone; see `SignalData.open_files`."""
        files = files_of(pieces)
        clips: Clips | None = None
        if root is not None:
            clips = FileClips(root, files)
        elif (suffix := files[0].suffix.lower()) in CLIP_SHARDS:
            clips = CLIP_SHARDS[suffix](files)
        if clips is None or self.sample_rate is None:
            return None
        first = pieces[0].first
        return AudioSource(
            clips,
            name=place,
            sample_rate=self.sample_rate,
            channels=channels or self.channels or 1,
            strict=self.strict,
        ).part(first, first + sum(piece.count for piece in pieces))

    def _train_batches(self, source: Source, turns: Turns) -> Iterator[Batch]:
        """Batches in which the next readable recording replaces a broken one."""
        recordings = _recordings(source)
        batches = _Batches(self, recordings, turns)
        numbers = ((number, 0) for number in turns)
        return map_ahead(batches.batch, numbers, workers=self.workers)

    def extent(self, source: Source) -> tuple[int, ...]:
        """Samples of a segment, or of the longest recording as its header says.

        Raises:
            DataError: attributes are asked for by a pattern that no name fits.
        """
        recordings = _recordings(source)
        if self.labels and not recordings.attribute_values():
            raise DataError(
                f"{source.name}: expected names like data.labels={self.labels}, got none, such as "
                f"{recordings.describe(0)}; correct the pattern"
            )
        lengths = [self.segment_length(recordings)]
        if self.segment is None:
            lengths = [recordings.estimated_length(index) for index in range(len(recordings))]
        return (max(1, *lengths, 0),)

    def segment_length(self, source: AudioSource) -> int:
        """Samples of a segment; more than any recording has if they are taken whole."""
        if self.segment is None:
            return 2**62
        return max(1, round(self.segment * source.sample_rate))

    def kept_bytes(self, source: Source) -> int:
        """See `SignalData.kept_bytes`."""
        recordings = _recordings(source)
        looked_at = range(min(len(recordings), _LOOKED_AT))
        mean = sum(map(recordings.estimated_length, looked_at)) / len(looked_at)
        return int(min(CACHE_LIMIT, 4 * mean * recordings.channels * len(recordings)))

    def in_words(self, source: Source) -> str:
        """``segments of 0.5 s`` or ``whole recordings``."""
        return "whole recordings" if self.segment is None else f"segments of {self.segment:g} s"


class _Batches:
    """Training batches by number."""

    def __init__(self, options: AudioData, source: AudioSource, turns: Turns) -> None:
        self._source, self._turns = source, turns
        self._segment = options.segment_length(source)
        self._stream = Stream(len(source), seed=turns.seed, block_bounds=source.clips.block_bounds)
        self._kept: dict[int, Samples] = {}
        self._room = CACHE_LIMIT
        self._lock = threading.Lock()

    def batch(self, number: int) -> Batch:
        """One batch."""
        with self._lock:
            indices, draws = self._stream.take(self._turns.places(number))
        rows = [self._row(int(i), float(d[0])) for i, d in zip(indices, draws, strict=True)]
        return self._source.batch_of(rows, named=False)

    def _row(self, index: int, draw: float) -> tuple[int, Samples]:
        """A segment of a recording, or of the next readable one, and the number of that."""
        while True:
            index = self._source.readable(index)
            try:
                return index, self._segment_of(index, draw)
            except BrokenAudioError as reason:
                self._source.note_broken(index, str(reason))

    def _segment_of(self, index: int, draw: float) -> Samples:
        kept = self._kept.get(index)
        if kept is None and self._source.estimated_length(index) > CACHED_SAMPLES:
            length = self._source.length(index)
            if length > self._segment:
                first = int(draw * (length - self._segment + 1))
                return self._source.read_span(index, first, first + self._segment)
        whole = self._source.read_whole(index) if kept is None else kept
        if kept is None:
            with self._lock:
                if whole.nbytes <= self._room:
                    self._kept[index] = whole
                    self._room -= whole.nbytes
        first = int(draw * max(1, whole.shape[1] - self._segment + 1))
        return whole[:, first : first + self._segment]


def _recordings(source: Source) -> AudioSource:
    if not isinstance(source, AudioSource):
        raise DataError(
            f"{source.name}: expected recordings, got {type(source).__name__}; open them with "
            "open_audio"
        )
    return source
