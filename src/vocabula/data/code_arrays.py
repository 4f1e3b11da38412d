"""Codes in memory, as priors learn them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.cropped import picture_of
from vocabula.data.labels import LARGEST
from vocabula.data.order import generator
from vocabula.data.token_blocks import StreamedLevel, TokenBlocks
from vocabula.data.token_file import TokenFile
from vocabula.data.token_layout import IMAGE, stored_type
from vocabula.data.token_records import TokenBatch
from vocabula.errors import DataError, TokensError
from vocabula.signals.attributes import CLASS, NOT_GIVEN
from vocabula.signals.codes import OUTSIDE, CodeSpec, on_positions, positions_of


@dataclass(frozen=True, slots=True)
class CodeArrays:
    """The codes of many signals, of equal grids or of any.

    Shorter grids of one axis are filled up; different grids of several axes are arrays of their
    own. `codes` marks what is outside a signal with -1.

    Attributes:
        name: where they were read from.
        layouts: what the codes of each level are, the coarsest first.
        levels: (N, *grid, *code_shape) integers of each level, of the smallest type; signals
            without axes have one position, a grid of (1,). Where `sizes` are given, (N,) arrays
            (*grid, *code_shape). Codes beyond memory are read when they are needed.
        attributes: (N,) int64 values of each attribute by name, -1 where there is none.
        extents: (N, axes) int64, the size of each signal along each axis.
        paths: (N,) where each signal came from.
        crops: the number of squares cut from each picture.
        signal: the name of the kind of signal.
        counts: (N,) int64 positions of each signal at each level; None where all grids are equal.
        sizes: (N, axes) int64 grid of each signal at each level, where those of several axes
            differ; else None.
        read: SHA-256 of codes that are not in memory, as they were first read.
    """

    name: str
    layouts: tuple[CodeSpec, ...]
    levels: tuple[NDArray[Any] | StreamedLevel, ...]
    attributes: Mapping[str, NDArray[np.int64]]
    extents: NDArray[np.int64]
    paths: NDArray[np.object_]
    crops: int = 1
    signal: str = IMAGE
    counts: tuple[NDArray[np.int64], ...] | None = None
    sizes: tuple[NDArray[np.int64], ...] | None = None
    read: str = ""

    @property
    def block_bounds(self) -> NDArray[np.int64] | None:
        """Where the signals begin that are cheap to read together; None for codes in memory."""
        first = self.levels[0]
        return first.block_bounds if isinstance(first, StreamedLevel) else None

    @property
    def window_blocks(self) -> int:
        """How many such blocks stay in memory."""
        first = self.levels[0]
        return first.window_blocks if isinstance(first, StreamedLevel) else 1

    def some(self, most: int) -> NDArray[np.int64]:
        """Rising indices of randomly drawn signals, or of those of randomly drawn blocks."""
        drawn, bounds = generator(0, 0, stream=0), self.block_bounds
        if bounds is None:
            return np.sort(drawn.permutation(len(self))[:most])
        found = np.empty(0, np.int64)
        for block in drawn.permutation(len(bounds) - 1).tolist():
            if len(found) < most:
                found = np.append(found, np.arange(bounds[block], bounds[block + 1]))
        return np.sort(found[:most])

    def loaded(self) -> CodeArrays:
        """The same with all codes in memory."""
        return replace(self, levels=tuple(codes[:] for codes in self.levels), read="")

    @property
    def origins(self) -> list[str]:
        """The path of the picture that each signal is, or was cut from."""
        paths: list[str] = self.paths.tolist()
        return paths if self.crops == 1 else [picture_of(path) for path in paths]

    def __len__(self) -> int:
        """The number of signals N."""
        return len(self.paths)

    @property
    def grids(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each level along its axes, those of the longest signal."""
        if self.sizes is not None:
            return tuple(tuple(sizes.max(0).tolist()) for sizes in self.sizes)
        return tuple(
            codes.shape[1 : codes.ndim - len(layout.code_shape)]
            for codes, layout in zip(self.levels, self.layouts, strict=True)
        )

    def take(self, indices: NDArray[np.int64]) -> CodeArrays:
        """The signals at some indices."""
        return replace(
            self,
            levels=tuple(
                codes.only(indices) if isinstance(codes, StreamedLevel) else codes[indices]
                for codes in self.levels
            ),
            attributes={name: values[indices] for name, values in self.attributes.items()},
            extents=self.extents[indices],
            paths=self.paths[indices],
            counts=self.counts and tuple(counts[indices] for counts in self.counts),
            sizes=self.sizes and tuple(sizes[indices] for sizes in self.sizes),
        )

    def mixed(self) -> CodeArrays:
        """The same codes, each grid of several axes an array of its own."""
        if self.sizes is not None:
            return self
        sizes = tuple(np.tile(np.array(grid), (len(self), 1)) for grid in self.grids)
        levels = (
            codes.apart() if isinstance(codes, StreamedLevel) else _apart(codes)
            for codes in self.levels
        )
        return replace(self, levels=tuple(levels), sizes=sizes)

    def codes(self, level: int, indices: NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """The codes of one level, (B, *grid, *code_shape) int64, with -1 after shorter signals.

        The grid is that of the longest of these signals, along each axis.
        """
        stored = self.levels[level][indices]
        if self.sizes is not None:
            return self._filled(stored, self.sizes[level][indices].max(0, initial=1))
        if self.counts is None:
            return torch.from_numpy(stored.astype(np.int64))
        counts = self.counts[level][indices]
        codes = stored[:, : int(counts.max(initial=1))].astype(np.int64)
        codes[np.arange(codes.shape[1]) >= counts[:, None]] = OUTSIDE
        return torch.from_numpy(codes)

    def parts(self, size: int) -> Iterator[list[Tensor]]:
        """The codes of each level of neighbouring signals, as `codes` gives them.

        Args:
            size: most codes of a part, unless one signal has more.
        """
        each = zip(self.grids, self.layouts, strict=True)
        most = sum(math.prod((*grid, *layout.code_shape)) for grid, layout in each)
        together = max(1, size // most)
        for first in range(0, len(self), together):
            rows = slice(first, first + together)
            yield [self.codes(k, rows) for k in range(len(self.levels))]

    def corners(self, grids: Sequence[Sequence[int]]) -> CodeArrays:
        """The first codes of each signal along each axis, as signals of equal grids.

        Args:
            grids: positions of each level; no signal has fewer along any axis.
        """
        levels = tuple(
            codes.corner(grid)
            if isinstance(codes, StreamedLevel)
            else np.stack([own[tuple(slice(n) for n in grid)] for own in codes])
            for codes, grid in zip(self.levels, grids, strict=True)
        )
        return replace(self, levels=levels, counts=None, sizes=None)

    def window(self, level: int, signal: int, corner: Sequence[int], size: Sequence[int]) -> Tensor:
        """Codes (*size, *code_shape) int64 of a level of a signal, with -1 outside the signal.

        Args:
            level: index of the level.
            signal: index of the signal.
            corner: where the window begins, along each axis; below 0 it is outside.
            size: of the window.
        """
        stored = self.levels[level][signal]
        found = np.full((*size, *self.layouts[level].code_shape), OUTSIDE, np.int64)
        spans = [
            (max(at, 0), max(0, at, min(at + n, whole)))
            for at, n, whole in zip(corner, size, stored.shape, strict=False)
        ]
        into = tuple(slice(a - at, b - at) for (a, b), at in zip(spans, corner, strict=True))
        found[into] = stored[tuple(slice(a, b) for a, b in spans)]
        return torch.from_numpy(found)

    def _filled(self, stored: NDArray[Any], grid: NDArray[np.int64]) -> Tensor:
        """Grids of different sizes in one tensor."""
        shape = next((codes.shape[len(grid) :] for codes in stored), ())
        filled = np.full((len(stored), *grid.tolist(), *shape), OUTSIDE, np.int64)
        for row, codes in zip(filled, stored, strict=True):
            row[tuple(slice(n) for n in codes.shape[: len(grid)])] = codes
        return torch.from_numpy(filled)

    def digest(self) -> str:
        """SHA-256 (hex) of codes and attributes, which a resumed run must find unchanged."""
        total = hashlib.sha256()
        each = sorted(self.attributes.items())
        named = [("" if name == CLASS else name, values) for name, values in each]
        named += [("positions", counts) for counts in self.counts or ()]
        total.update(self.read.encode())
        levels = [("", codes) for level in self.levels for codes in self._whole(level)]
        for name, array in [*levels, *named]:
            total.update(f"{name}{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def _whole(self, level: NDArray[Any] | StreamedLevel) -> Iterable[NDArray[Any]]:
        """The arrays that a level in memory is made of."""
        if isinstance(level, StreamedLevel):
            return []
        return [level] if self.sizes is None else level


WHOLE = 2**29
"""Bytes of codes up to which they are kept in memory."""


def read_codes(tokens: TokenFile) -> CodeArrays:
    """All codes of a file or of parts, read and checked once.

    Up to `WHOLE` bytes of codes stay in memory. More are read again by row groups when they are
    needed; what is known of each signal stays in memory, some hundred bytes.

    Raises:
        TokensError: the file has no records, or a record is wrong.
        DataError: a label is negative.
    """
    found = _Read(tokens)
    for batch in tokens.batches():
        for name, values in batch.attributes.items():
            _refuse_negative(tokens, batch, name, values)
        found.add(batch)
    if not found.batches:
        raise TokensError(f"{tokens.path}: expected codes, got no record; encode some signals")
    batches = found.batches
    axes = batches[0].extents.shape[1]
    differ = len({shapes for _, shapes in found.shapes}) > 1
    return CodeArrays(
        str(tokens.path),
        tokens.levels,
        found.levels(apart=differ and axes > 1),
        {name: np.concatenate([b.attributes[name] for b in batches]) for name in tokens.names},
        np.concatenate([batch.extents for batch in batches]),
        np.concatenate([batch.paths for batch in batches]),
        tokens.crops,
        tokens.signal,
        found.positions(1) if differ and axes == 1 else None,
        found.positions(axes) if differ and axes > 1 else None,
        found.hash.hexdigest() if found.streams else "",
    )


class _Read:
    """What was read of some tokens: their codes too, as long as these are few."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens, self._kind = tokens, stored_type(tokens.levels)
        self._size = 0
        self.shapes: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
        self.batches: list[TokenBatch] = []
        self.streams = False
        self.hash = hashlib.sha256()

    def add(self, batch: TokenBatch) -> None:
        """Keep some records."""
        batch = replace(batch, levels=tuple(codes.astype(self._kind) for codes in batch.levels))
        self.shapes.append((len(batch), tuple(codes.shape[1:] for codes in batch.levels)))
        self._size += sum(codes.nbytes for codes in batch.levels)
        self.batches.append(batch)
        if self._size > WHOLE and not self.streams:
            self.streams = True
            self.batches = [self._hashed(each) for each in self.batches]
        elif self.streams:
            self.batches[-1] = self._hashed(batch)

    def _hashed(self, batch: TokenBatch) -> TokenBatch:
        """The records without their codes, which the hash has seen."""
        for codes in batch.levels:
            self.hash.update(f"{codes.dtype}{codes.shape}".encode())
            self.hash.update(np.ascontiguousarray(codes).data)
        return replace(batch, levels=())

    def levels(self, *, apart: bool) -> tuple[NDArray[Any] | StreamedLevel, ...]:
        """The codes of each level; `apart` keeps each signal's in an array of its own."""
        specs = self._tokens.levels
        if not self.streams:
            each = zip(*(batch.levels for batch in self.batches), strict=True)
            return tuple(
                _apart(*codes) if apart else on_positions(_joined(codes), spec.code_shape)
                for codes, spec in zip(each, specs, strict=True)
            )
        blocks = TokenBlocks(self._tokens)
        found: list[StreamedLevel] = []
        for k, spec in enumerate(specs):
            longest = max(shapes[k] for _, shapes in self.shapes)
            grid = positions_of(longest[: len(longest) - len(spec.code_shape)])
            found.append(StreamedLevel(blocks, k, spec, None if apart else grid, self._size))
        return tuple(found)

    def positions(self, axes: int) -> tuple[NDArray[np.int64], ...]:
        """The positions of each signal at each level: (N,) along a single axis, else (N, axes)."""
        counts = [count for count, _ in self.shapes]
        found = []
        for k in range(len(self._tokens.levels)):
            sizes = np.repeat([shapes[k][:axes] for _, shapes in self.shapes], counts, 0)
            found.append(sizes[:, 0] if axes == 1 else sizes)
        return tuple(found)


def _joined(parts: Sequence[NDArray[np.integer]]) -> NDArray[np.integer]:
    """Codes of one level in one array; those of shorter grids of one axis are filled up with 0."""
    if all(codes.shape[1:] == parts[0].shape[1:] for codes in parts):
        return np.concatenate(parts)
    longest = max(codes.shape[1] for codes in parts)
    rows = sum(map(len, parts))
    joined = np.zeros((rows, longest, *parts[0].shape[2:]), parts[0].dtype)
    first = 0
    for codes in parts:
        joined[first : first + len(codes), : codes.shape[1]] = codes
        first += len(codes)
    return joined


def _apart(*parts: NDArray[np.integer]) -> NDArray[Any]:
    """Codes (N,) of one level, an array for each signal."""
    found = np.empty(sum(map(len, parts)), object)
    for place, codes in enumerate(chain(*parts)):
        found[place] = codes
    return found


def _refuse_negative(
    tokens: TokenFile, batch: TokenBatch, attribute: str, values: NDArray[np.int64]
) -> None:
    if (values < NOT_GIVEN).any():
        row = int(np.argmax(values < NOT_GIVEN))
        one, several = _words(attribute)
        raise DataError(
            f"{tokens.path}: {batch.paths[row]}: expected a {one} >= 0 or none, got "
            f"{values[row]}; correct the {several} and encode again"
        )


def value_count(arrays: CodeArrays, attribute: str, names: Sequence[str] | None) -> int:
    """The number of values of an attribute; 0 where no record has one.

    Args:
        arrays: codes with attributes.
        attribute: name of the attribute.
        names: what its values are called; None: there are as many as the highest one says.

    Raises:
        DataError: a value has no name, or is too large to be an index.
    """
    values = arrays.attributes[attribute]
    highest = int(values.max())
    if highest < 0:
        return 0
    one, several = _words(attribute)
    if not names:
        if highest >= LARGEST:
            raise DataError(
                f"{arrays.name}: expected {several} below {LARGEST}, got {highest}; number them"
                " from 0, or train without them (--no-classes)"
            )
        return highest + 1
    if highest >= len(names):
        path = arrays.paths[int(values.argmax())]
        raise DataError(
            f"{arrays.name}: {path}: expected a {one} below {len(names)}, the number of their "
            f"names, got {highest}; correct the {several}, or train without them (--no-classes)"
        )
    return len(names)


def _words(attribute: str) -> tuple[str, str]:
    """What messages call one value of an attribute, and several."""
    if attribute == CLASS:
        return "label", "labels"
    return f"value of {attribute}", f"values of {attribute}"
