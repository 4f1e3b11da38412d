"""Rows of one column in one or several parquet files, read by row group when they are needed."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vocabula.data.content import content_of_files
from vocabula.data.hub_reading import content_in_place
from vocabula.data.pieces import Piece
from vocabula.data.tables import TableFile
from vocabula.files import input_errors

T = TypeVar("T")

MEMORY = 512 * 2**20
"""Bytes of row groups that are kept in memory; files that fit into it are kept whole."""
_OPEN = 16  # files kept open at a time


class RowGroups(Generic[T]):
    """The row groups of some files (shards), the most recent of them in memory.

    Args:
        files: the shards, in order.
        groups: of each shard, the number of rows and of bytes of its row groups.
        column: what is read.
        made: what is kept of a group, from its column as Arrow has it; it can be pickled.

    Attributes:
        files: the shards.
        bounds: (groups + 1,) rising indices of rows, from 0 to the number of all.
        block_bounds: the same; None if all groups are kept.
        window_blocks: how many groups are kept at a time.
    """

    def __init__(
        self,
        files: Sequence[Path],
        groups: Sequence[Sequence[tuple[int, int]]],
        column: str,
        made: Callable[[Any], T],
    ) -> None:
        self.files, self._column, self._made = list(files), column, made
        self._places = [
            (number, group)
            for number, own in enumerate(groups)
            for group, (count, _) in enumerate(own)
            if count
        ]
        sizes = [size for own in groups for count, size in own if count]
        rows = [count for own in groups for count, _ in own if count]
        self.bounds = np.cumsum([0, *rows], dtype=np.int64)
        self.window_blocks = int(np.clip(MEMORY // max(sizes, default=1), 2, len(sizes) + 1))
        self.block_bounds: NDArray[np.int64] | None = self.bounds if sum(sizes) > MEMORY else None
        self._open: dict[int, TableFile] = {}
        self._cache: OrderedDict[int, T] = OrderedDict()
        self._process, self._lock = os.getpid(), threading.Lock()

    def __len__(self) -> int:
        """The number of rows in all files."""
        return int(self.bounds[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """The group of a row, and its place in it."""
        group = int(np.searchsorted(self.bounds, index, side="right")) - 1
        return group, index - int(self.bounds[group])

    def file_of(self, group: int) -> Path:
        """The shard of a group."""
        return self.files[self._places[group][0]]

    def describe(self, index: int) -> str:
        """The file's name and the row in it."""
        number = self._places[self.locate(index)[0]][0]
        first = next(g for g, place in enumerate(self._places) if place[0] == number)
        return f"{self.files[number].name}[{index - int(self.bounds[first])}]"

    def pieces(self) -> Iterator[Piece]:
        """Each row group is a piece."""
        number, first = -1, 0
        for group, (own, _) in enumerate(self._places):
            first = 0 if own != number else first
            number, count = own, int(self.bounds[group + 1] - self.bounds[group])
            yield Piece.of(self.files[number].absolute(), first, count)
            first += count

    def rows(self, group: int) -> T:
        """What is kept of a group. Several threads may call it.

        Raises:
            DataError: the file is damaged.
        """
        with self._lock:
            return self._cached(group)

    def folders(self) -> set[Path]:
        """The folders of the shards."""
        return {file.absolute().parent for file in self.files}

    def content(self) -> str:
        """Hash of the files; see `content_in_place` and `content_of_files`."""
        with input_errors(self.files[0]):
            return content_in_place(self.files) or content_of_files(self.files)

    def _cached(self, group: int) -> T:
        if self._process != os.getpid():  # after a fork, file handles are not shared
            self._process, self._open = os.getpid(), {}
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        while len(self._cache) >= self.window_blocks:
            self._cache.popitem(last=False)
        number, place = self._places[group]
        if number not in self._open:
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[number] = TableFile(self.files[number])
        column = self._open[number].read([self._column], place)[self._column]
        self._cache[group] = self._made(column)
        return self._cache[group]

    def __getstate__(self) -> dict[str, Any]:
        """The state without open files and cached rows, for workers that are not forked."""
        state = {**self.__dict__, "_open": {}, "_cache": OrderedDict()}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state from `__getstate__`, with a new lock."""
        self.__dict__.update(state, _lock=threading.Lock())
