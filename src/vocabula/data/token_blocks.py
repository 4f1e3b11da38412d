"""Codes of files by number, a row group at a time: the most recent stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.token_file import TokenFile, open_tokens
from vocabula.data.token_layout import stored_type
from vocabula.data.token_records import TokenBatch
from vocabula.signals.codes import CodeSpec, on_positions

MEMORY = 2**28
"""Bytes of codes that stay in memory where not all do."""


class TokenBlocks:
    """The records of a file or of parts, read by row groups when they are needed.

    No file stays open, so that processes may be forked and the object pickled.

    Args:
        tokens: the codes.
        memory: bytes of codes that stay in memory; at least one row group does.

    Attributes:
        bounds: (blocks + 1,) rising numbers of records, from 0 to the number of all.
        dtype: the smallest type that holds the codes of every level.
    """

    def __init__(self, tokens: TokenFile, *, memory: int = MEMORY) -> None:
        self.dtype, self._memory = stored_type(tokens.levels), memory
        self._places: list[tuple[Path, int]] = []
        counts: list[int] = []
        for file in tokens.parts():
            own = [(n, (file.path, group)) for group, n in enumerate(file.groups) if n]
            counts += [n for n, _ in own]
            self._places += [place for _, place in own]
        self.bounds: NDArray[np.int64] = np.cumsum([0, *counts], dtype=np.int64)
        self._kept: OrderedDict[int, _Block] = OrderedDict()

    def __len__(self) -> int:
        """The number of records."""
        return int(self.bounds[-1])

    def window(self, size: int) -> int:
        """How many row groups fit into half of the memory.

        Args:
            size: bytes of all codes.
        """
        mean = max(1, size // max(1, len(self._places)))
        return int(np.clip(self._memory // 2 // mean, 1, max(1, len(self._places))))

    def record(self, row: int) -> tuple[TokenBatch, int]:
        """The records that a record was read with, and its place among them."""
        block = int(np.searchsorted(self.bounds, row, side="right")) - 1
        return self._block(block).find(row - int(self.bounds[block]))

    def runs(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], TokenBatch, NDArray[np.int64]]]:
        """Some records by the runs of equal shapes that they lie in.

        Yields:
            Places in `rows`, the run, and the places in it.
        """
        blocks = np.searchsorted(self.bounds, rows, side="right") - 1
        for number in np.unique(blocks).tolist():
            places = np.flatnonzero(blocks == number)
            block = self._block(number)
            own = rows[places] - self.bounds[number]
            runs = np.searchsorted(block.starts, own, side="right") - 1
            for run in np.unique(runs).tolist():
                here = runs == run
                yield places[here], block.batches[run], own[here] - block.starts[run]

    def _block(self, number: int) -> _Block:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        path, group = self._places[number]
        found = _Block(
            [
                replace(batch, levels=tuple(codes.astype(self.dtype) for codes in batch.levels))
                for batch in open_tokens(path).group(group)
            ]
        )
        while self._kept and found.size + sum(b.size for b in self._kept.values()) > self._memory:
            self._kept.popitem(last=False)
        self._kept[number] = found
        return found


class _Block:
    """The records of a row group, in runs of equal shapes."""

    def __init__(self, batches: list[TokenBatch]) -> None:
        self.batches = batches
        self.starts = np.cumsum([0, *map(len, batches)], dtype=np.int64)
        self.size = sum(codes.nbytes for batch in batches for codes in batch.levels)

    def find(self, row: int) -> tuple[TokenBatch, int]:
        run = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.batches[run], row - int(self.starts[run])


class StreamedLevel:
    """The codes of one level of many signals, (N, *grid, *code_shape), read when they are needed.

    Shorter signals are filled up with 0, longer ones cut; or each signal has an array of its own.

    Args:
        blocks: the records.
        level: which level.
        spec: what its codes are.
        grid: positions of a signal, as those of the longest one; None gives each signal an array
            of its own.
        size: bytes of all codes of all levels.
        rows: (N,) rising numbers of the records that count; None for all.
    """

    def __init__(
        self,
        blocks: TokenBlocks,
        level: int,
        spec: CodeSpec,
        grid: tuple[int, ...] | None,
        size: int,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self._blocks, self._level, self._spec, self._size = blocks, level, spec, size
        self._grid = grid
        self._rows = np.arange(len(blocks)) if rows is None else rows
        self.dtype = blocks.dtype
        self.shape = (len(self._rows), *(() if grid is None else (*grid, *spec.code_shape)))
        self.ndim = len(self.shape)
        self.window_blocks = blocks.window(size)

    def __len__(self) -> int:
        """The number of signals N."""
        return len(self._rows)

    @property
    def block_bounds(self) -> NDArray[np.int64]:
        """(blocks + 1,) where the signals of each row group begin."""
        return np.searchsorted(self._rows, self._blocks.bounds).astype(np.int64)

    def __getitem__(self, indices: NDArray[np.int64] | slice | int) -> NDArray[Any]:
        """The codes (B, *grid, *code_shape) of some signals, or (B,) arrays; or those of one."""
        if isinstance(indices, int | np.integer):
            return self[np.array([indices])][0]
        rows = self._rows[indices]
        if self._grid is None:
            return self._apart(rows)
        found = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        for places, run, inside in self._blocks.runs(rows):
            codes = on_positions(run.levels[self._level], self._spec.code_shape)[inside]
            pairs = zip(codes.shape[1:], found.shape[1:], strict=True)
            both: tuple[Any, ...] = tuple(slice(min(pair)) for pair in pairs)
            found[(places, *both)] = codes[(slice(None), *both)]
        return found

    def _apart(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty(len(rows), object)
        for places, run, inside in self._blocks.runs(rows):
            for place, row in zip(places.tolist(), inside.tolist(), strict=True):
                found[place] = run.levels[self._level][row]
        return found

    def only(self, indices: NDArray[np.int64]) -> StreamedLevel:
        """Some of the signals, still to be read; `indices` rise."""
        return self._like(self._grid, self._rows[indices])

    def apart(self) -> StreamedLevel:
        """The same with an array for each signal."""
        return self._like(None, self._rows)

    def corner(self, grid: Sequence[int]) -> StreamedLevel:
        """The first codes of each signal, as many along each axis as `grid` says."""
        return self._like(tuple(grid), self._rows)

    def _like(self, grid: tuple[int, ...] | None, rows: NDArray[np.int64]) -> StreamedLevel:
        return StreamedLevel(self._blocks, self._level, self._spec, grid, self._size, rows)
