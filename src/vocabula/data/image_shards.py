"""Pictures in files that hold many each, such as parquet files and tars."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vocabula.data.image_problems import BrokenImageError
from vocabula.data.labels import Labels
from vocabula.data.pieces import Piece
from vocabula.data.pixels import FILE_CHANNELS, channel_error, read_header
from vocabula.data.source import ImageSource
from vocabula.signals.attributes import CLASS

_LOOKED_AT = 256  # pictures whose headers decide between grey and colour


class Shards(Protocol):
    """The files, and what lies in them."""

    def __len__(self) -> int:
        """The number of pictures in all files."""

    def describe(self, index: int) -> str:
        """The file's name and the place in it."""

    def pieces(self) -> Iterator[Piece]:
        """The parts that are opened together."""

    def folders(self) -> set[Path]:
        """The folders that the files lie in."""

    def content(self) -> str:
        """A hash of the files' names, sizes and dates."""


class ShardedSource(ImageSource):
    """What sources of pictures in shards share. A subclass sets `channels`.

    Args:
        name: what messages call the data.
        shards: the files.
        labels: the class of each picture, if the files tell.
        strict: refuse pictures that are broken, instead of skipping them.
    """

    def __init__(self, name: str, shards: Shards, labels: Labels | None, *, strict: bool) -> None:
        super().__init__(name, 3, label_names=labels.names if labels else None, strict=strict)
        self._shards = shards
        self._labels: NDArray[np.int64] | None = None if labels is None else labels.values

    @abstractmethod
    def _encoded(self, index: int) -> bytes | Path:
        """A picture as it is stored; raises `BrokenImageError` when there is none."""

    def __len__(self) -> int:
        """The number of pictures in all files."""
        return len(self._shards)

    def describe(self, index: int) -> str:
        """The file's name and the place in it."""
        return self._shards.describe(index)

    def pieces(self) -> Iterator[Piece]:
        """Each row group, or each tar, is a piece."""
        return self._shards.pieces()

    def folders(self) -> set[Path]:
        """The folders of the files, if the data are a folder or a pattern."""
        return set() if Path(self.name).expanduser().is_file() else self._shards.folders()

    def stored_attributes(self) -> dict[str, NDArray[np.int64]]:
        """See `Source.stored_attributes`."""
        none = np.full(len(self) if self._labels is None else 0, -1, np.int64)
        return {CLASS: none if self._labels is None else self._labels}

    def pixels(self, index: int) -> int:
        """Height times width of one picture, from its header; 0 if the header is broken."""
        try:
            header = read_header(self._encoded(index))
        except BrokenImageError:
            return 0
        return header.height * header.width

    def content(self) -> str:
        """The identity of the data; see `Source.content`."""
        return self._shards.content()

    def _label(self, index: int) -> int | None:
        label = -1 if self._labels is None else int(self._labels[index])
        return None if label < 0 else label

    def _natural_channels(self, count: int) -> int:
        """3 if one of the first `count` pictures, 256 at most, is in colour, else 1."""
        for index in range(min(_LOOKED_AT, count)):
            try:
                if read_header(self._encoded(index)).channels == 3:
                    return 3
            except BrokenImageError:
                continue
        return 1


def check_channels(name: str, channels: int | None) -> None:
    """Refuse a number of channels that picture files cannot give.

    Raises:
        DataError: it is no such number.
    """
    if channels is not None and channels not in FILE_CHANNELS:
        raise channel_error(name, channels, 3)
