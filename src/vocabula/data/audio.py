"""Recordings as data: read by number, whole or in spans, at one rate and with equal channels."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.budgets import BATCH_SAMPLES, LONG_SAMPLES, WHOLE_SAMPLES
from vocabula.data.ahead import map_ahead
from vocabula.data.audio_clips import BrokenAudioError, Clips, ClipsPart, LongAudioError
from vocabula.data.audio_parts import in_parts
from vocabula.data.audio_reading import (
    check_header,
    checked_length,
    count_frames,
    resampled_blocks,
    resampled_length,
    span,
    whole,
)
from vocabula.data.base import Source
from vocabula.data.batch import Batch
from vocabula.data.collate import collate
from vocabula.data.image_problems import DataWarning, summarize
from vocabula.data.labels import Labels
from vocabula.data.long_signal import LongSignal
from vocabula.data.pieces import Piece
from vocabula.errors import DataError, plural
from vocabula.signals.attributes import CLASS
from vocabula.signals.audio import Audio

Samples = NDArray[np.float32]


class AudioSource(Source):
    """Recordings of any lengths, each an item: its parts never lie in two splits.

    Values are those of the files at full scale 1: no recording is made louder. Lengths are counted
    by what is read. A broken recording is left out with one warning.

    Args:
        clips: where the recordings are.
        name: what messages call the data.
        sample_rate: samples per second; recordings of other rates are resampled.
        channels: of every recording: 1 is the mean of all; other numbers take recordings of that
            number, or copy a single one.
        labels: attributes by name, one value per recording; ``class`` are the labels.
        strict: refuse broken recordings instead of skipping them.
    """

    batch_size: ClassVar[int] = 64

    def __init__(
        self,
        clips: Clips,
        *,
        name: str,
        sample_rate: int,
        channels: int = 1,
        labels: Mapping[str, Labels] | None = None,
        strict: bool = False,
    ) -> None:
        own = dict(labels or {})
        super().__init__(
            name, channels, label_names=own[CLASS].names if CLASS in own else None, strict=strict
        )
        self.clips, self.sample_rate = clips, sample_rate
        self.signal = Audio(sample_rate, channels)
        self._labels = own
        self._lengths: dict[int, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of recordings, broken ones included."""
        return len(self.clips)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """See `Source.names`."""
        further = {name: tuple(own.names or ()) for name, own in self._labels.items()}
        return {**super().names, **further}

    def attribute_values(self) -> dict[str, int]:
        """See `Source.attribute_values`; no recording is read."""
        counts = {name: 1 + int(own.values.max(initial=-1)) for name, own in self._labels.items()}
        counts = {name: max(n, len(self.names[name])) for name, n in counts.items()}
        return {name: count for name, count in counts.items() if count}

    def attributes(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The attributes (B,) of some recordings, -1 where one has none."""
        found = {name: own.values[indices] for name, own in self._labels.items()}
        return {CLASS: np.full(len(indices), -1, np.int64), **found}

    @property
    def root(self) -> Path | None:
        """See `Source.root`."""
        return self.clips.root

    def pieces(self) -> Iterator[Piece]:
        """Each file, or each row group of a table, is a piece; arrays are one."""
        return self.clips.pieces() or super().pieces()

    def folders(self) -> set[Path]:
        """See `Source.folders`."""
        return self.clips.folders()

    def stored_attributes(self) -> dict[str, NDArray[np.int64]]:
        """See `Source.stored_attributes`."""
        return {name: own.values for name, own in self._labels.items()}

    def part(self, first: int, last: int) -> AudioSource:
        """See `Source.part`."""
        labels = {n: Labels(own.values[first:last], own.names) for n, own in self._labels.items()}
        return AudioSource(
            ClipsPart(self.clips, first, last),
            name=self.name,
            sample_rate=self.sample_rate,
            channels=self.channels,
            labels=labels,
            strict=self.strict,
        )

    def left_out(self, index: int) -> tuple[str, str]:
        """See `Source.left_out`."""
        return self.describe(index), super().left_out(index)[1]

    def content(self) -> str:
        """Hash of the recordings as they are stored; see `content_of_files`."""
        return self.clips.content()

    def describe(self, index: int) -> str:
        """The name of one recording, for messages and as its path."""
        return self.clips.path(index)

    # ------------------------------------------------------------------ lengths

    def estimated_length(self, index: int) -> int:
        """The length that the header promises, at the source's rate; 0 if it is broken.

        Only for budgets: of compressed formats it may be wrong; see `length`.
        """
        try:
            with self.clips.open(index) as clip:
                return resampled_length(min(clip.frames, 2**40), clip.rate, self.sample_rate)
        except BrokenAudioError:
            return 0

    def length(self, index: int) -> int:
        """Samples of one recording at the source's rate, counted by what can be read.

        Raises:
            BrokenAudioError: it cannot be read.
        """
        if index not in self._lengths:
            with self.clips.open(index) as clip:
                found = resampled_length(count_frames(clip), clip.rate, self.sample_rate)
            self._lengths[index] = found
        return self._lengths[index]

    # ------------------------------------------------------------ one recording

    def read_whole(self, index: int, most: int = WHOLE_SAMPLES) -> Samples:
        """One recording (channels, time).

        Raises:
            LongAudioError: it has more than `most` values.
            BrokenAudioError: it cannot be read, or has no sample.
        """
        with self.clips.open(index) as clip:
            found = whole(clip, self.sample_rate, self.channels, most)
        self._lengths[index] = found.shape[1]
        return found

    def read_span(self, index: int, start: int, stop: int) -> Samples:
        """The samples [start, stop) of one recording, as (channels, n); fewer at its end.

        Memory depends on the span alone. See `audio_reading.span`.

        Raises:
            BrokenAudioError: it cannot be read.
        """
        with self.clips.open(index) as clip:
            return span(clip, self.sample_rate, self.channels, start, stop)

    def read_blocks(self, index: int, size: int) -> Iterator[Samples]:
        """One recording in order, in blocks (channels, size), the last perhaps shorter.

        Joined they are `read_whole`, bit for bit; memory depends on `size` alone.

        Raises:
            BrokenAudioError: it cannot be read.
        """
        waiting: list[Samples] = []
        count = 0
        with self.clips.open(index) as clip:
            for block in resampled_blocks(clip, self.sample_rate, self.channels):
                waiting.append(block)
                count += block.shape[1]
                if count < size:
                    continue
                joined = np.concatenate(waiting, axis=1)
                full = count - count % size
                yield from (joined[:, at : at + size] for at in range(0, full, size))
                waiting, count = [joined[:, full:]], count - full
        if count:
            yield np.concatenate(waiting, axis=1)

    # ---------------------------------------------------------------- many of them

    def check_headers(self) -> None:
        """Read headers up to the first good one, or all if the source is strict.

        Raises:
            DataError: none is good, or the source is strict and one is broken.
        """
        first = len(self.problems)
        for index in range(len(self)):
            try:
                with self.clips.open(index) as clip:
                    check_header(clip, self.sample_rate, self.channels)
            except BrokenAudioError as reason:
                self._leave_out(index, str(reason))
            else:
                if not self.strict:
                    break
        if len(self._broken) == len(self):
            raise self._all_broken()
        self._warn(self.problems[first:])

    def readable(self, index: int) -> int:
        """The recording itself, or the next one that is not known to be broken.

        Raises:
            DataError: all are broken.
        """
        for candidate in range(index, index + len(self)):
            if candidate % len(self) not in self._broken:
                return candidate % len(self)
        raise self._all_broken()

    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch, None, None]:
        """All recordings, once each, in order, padded under a mask; broken ones are left out.

        A batch has at most `batch_size` recordings and, padded, `BATCH_SAMPLES` samples, or is one
        recording.
        """
        found = self._batches(batch_size, limit, workers, overlap, parts=False)
        yield from cast("Generator[Batch, None, None]", found)

    def bounded_batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch | LongSignal, None, None]:
        """See `Source.bounded_batches`; a recording of more than `LONG_SAMPLES` comes in parts.

        It is read once before, for its length and for damage.
        """
        yield from self._batches(batch_size, limit, workers, overlap, parts=True)

    def _batches(
        self, batch_size: int | None, limit: int | None, workers: int, overlap: bool, *, parts: bool
    ) -> Generator[Batch | LongSignal, None, None]:
        """The batches of `bounded_batches`; without `parts` every recording is read whole."""
        most, waiting, longest = batch_size or self.batch_size, list[tuple[int, Samples]](), 0
        with closing(self._recordings(limit, workers, overlap, parts)) as recordings:
            for index, found in recordings:
                if isinstance(found, int):
                    if waiting:
                        yield self.batch_of(waiting)
                    waiting, longest = [], 0
                    yield in_parts(self, index, found)
                    continue
                reach = max(longest, found.shape[1])
                if waiting and (len(waiting) == most or (len(waiting) + 1) * reach > BATCH_SAMPLES):
                    yield self.batch_of(waiting)
                    waiting, reach = [], found.shape[1]
                waiting.append((index, found))
                longest = reach
        if waiting:
            yield self.batch_of(waiting)

    def batch_of(self, recordings: list[tuple[int, Samples]], *, named: bool = True) -> Batch:
        """A padded batch of some recordings, or of spans of them, with their numbers."""
        indices = np.array([index for index, _ in recordings], np.int64)
        known = {name: torch.from_numpy(own) for name, own in self.attributes(indices).items()}
        return collate(
            [torch.from_numpy(samples) for _, samples in recordings],
            self.signal,
            known,
            torch.from_numpy(indices),
            [self.describe(index) for index, _ in recordings] if named else (),
        )

    def _recordings(
        self, limit: int | None, workers: int, overlap: bool, parts: bool
    ) -> Generator[tuple[int, Samples | int], None, None]:
        """The readable recordings in order, with their numbers; of long ones the length."""
        count = len(self) if limit is None else min(limit, len(self))
        ahead = workers > 0  # only readers in other threads need to know how much they hold
        most = LONG_SAMPLES if parts else WHOLE_SAMPLES
        tasks = (
            (index, min(self.estimated_length(index), most) if ahead else 0)
            for index in range(count)
            if index not in self._broken
        )
        first = len(self.problems)

        def attempt(index: int) -> tuple[int, Samples | int | BrokenAudioError]:
            try:
                return index, self._read_or_measure(index) if parts else self.read_whole(index)
            except BrokenAudioError as reason:
                return index, reason

        with closing(map_ahead(attempt, tasks, workers=workers, overlap=overlap)) as results:
            for index, result in results:
                if isinstance(result, BrokenAudioError):
                    self._leave_out(index, str(result))
                else:
                    yield index, result
        if len(self._broken) == len(self):
            raise self._all_broken()
        self._warn(self.problems[first:])

    def _read_or_measure(self, index: int) -> Samples | int:
        """One recording, or its length if it is long.

        Raises:
            BrokenAudioError: it cannot be read, or has no sample.
        """
        if self.estimated_length(index) * self.channels <= LONG_SAMPLES:
            try:
                return self.read_whole(index, LONG_SAMPLES)
            except LongAudioError:
                pass  # the header promised less
        with self.clips.open(index) as clip:
            length = checked_length(clip, self.sample_rate, self.channels)
        self._lengths[index] = length
        return length if length * self.channels > LONG_SAMPLES else self.read_whole(index)

    # ----------------------------------------------------------- broken recordings

    def note_broken(self, index: int, reason: str) -> None:
        """Leave a recording out from now on, with one warning.

        Raises:
            DataError: the source is strict.
        """
        first = len(self.problems)
        self._leave_out(index, reason)
        self._warn(self.problems[first:])

    def _leave_out(self, index: int, reason: str) -> None:
        problem = f"{self.describe(index)}: {reason}"
        if self.strict:
            raise DataError(
                f"{self.name}: expected readable recordings, got {problem}; remove it or leave out "
                "strict to skip it"
            )
        with self._lock:
            if index not in self._broken:
                self._broken.add(index)
                self._reasons[index] = reason
                self.problems.append(problem)

    def _warn(self, problems: list[str]) -> None:
        if problems:
            count = f"{len(problems)} of {plural(len(self), 'recording')}"
            text = f"{self.name}: skipped {count}: {summarize(problems)}"
            warnings.warn(text, DataWarning, stacklevel=4)

    def _all_broken(self) -> DataError:
        if len(self) == 1:
            reason = self.problems[0].removeprefix(f"{self.describe(0)}: ")
            advice = "" if ";" in reason else "; check the file"
            return DataError(f"{self.name}: expected a recording, got {reason}{advice}")
        return DataError(
            f"{self.name}: expected readable recordings, got {plural(len(self), 'broken one')}: "
            f"{summarize(self.problems)}; check the data"
        )
