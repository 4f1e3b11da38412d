"""One recording as it lies in a file or an array, and many of them by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.data.labels import Labels
from vocabula.data.pieces import Piece


class BrokenAudioError(Exception):
    """One recording cannot be read; its text is the reason, without the recording's name."""


class LongAudioError(BrokenAudioError):
    """A recording is longer than asked for."""


class Clip(ABC):
    """One recording that is read from its beginning on.

    Attributes:
        rate: samples per second.
        channels: channels of every sample.
        frames: how many samples its header promises; what is read may be more or fewer.
        seeks: whether `seek` reaches a sample without reading those before it.
        at: the sample that is read next.
    """

    rate: int
    channels: int
    frames: int
    seeks: bool
    at: int

    @abstractmethod
    def seek(self, frame: int) -> None:
        """Go to a sample.

        Raises:
            BrokenAudioError: the data are damaged.
        """

    @abstractmethod
    def read(self, count: int) -> NDArray[np.float32]:
        """The next samples (n, channels), fewer than `count` only at the end.

        Raises:
            BrokenAudioError: the data are damaged.
        """


class Clips(ABC):
    """Recordings by number, wherever they lie.

    Attributes:
        passed_over: what lies among them and is none, each with the reason.
    """

    passed_over: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """The number of recordings."""

    @abstractmethod
    def path(self, index: int) -> str:
        """Where a recording came from: a path relative to the data, or ``name[index]``."""

    @abstractmethod
    def open(self, index: int) -> AbstractContextManager[Clip]:
        """A recording whose header is read. Several threads may call it at the same time.

        Raises:
            BrokenAudioError: it cannot be opened.
        """

    @abstractmethod
    def content(self) -> str:
        """Hash of the recordings, the same for a copy of them elsewhere."""

    def labels(self) -> dict[str, Labels]:
        """Attributes that are stored beside the recordings, by name; none unless overridden."""
        return {}

    @property
    def block_bounds(self) -> NDArray[np.int64] | None:
        """See `ImageSource.block_bounds`; any recording is as cheap to read as any other."""
        return None

    @property
    def root(self) -> Path | None:
        """See `Source.root`."""
        return None

    def pieces(self) -> Iterator[Piece] | None:
        """See `Source.pieces`; None for recordings that are opened whole."""
        return None

    def folders(self) -> set[Path]:
        """See `Source.folders`."""
        return set()


class ClipsPart(Clips):
    """The recordings from `first` to before `last` of many.

    Args:
        clips: all recordings.
        first: number of the first one.
        last: number after the last one.
    """

    def __init__(self, clips: Clips, first: int, last: int) -> None:
        self._clips, self._first, self._last = clips, first, last

    def __len__(self) -> int:
        """The number of recordings."""
        return self._last - self._first

    def path(self, index: int) -> str:
        """See `Clips.path`."""
        return self._clips.path(self._first + index)

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        return self._clips.open(self._first + index)

    def content(self) -> str:
        """The hash of all recordings, and which of them these are."""
        return f"{self._clips.content()}[{self._first}:{self._last}]"
