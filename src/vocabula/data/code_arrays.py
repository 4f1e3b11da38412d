"""Codes in memory, as priors learn them."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.cropped import picture_of
from vocabula.data.labels import LARGEST
from vocabula.data.token_file import TokenFile
from vocabula.data.token_layout import IMAGE, stored_type
from vocabula.data.token_records import TokenBatch
from vocabula.errors import DataError, TokensError
from vocabula.signals.attributes import CLASS, NOT_GIVEN
from vocabula.signals.codes import OUTSIDE, CodeSpec, on_positions


@dataclass(frozen=True, slots=True)
class CodeArrays:
    """The codes of many signals: of equal grids, or of grids of one axis and any lengths.

    Shorter grids are filled up; `codes` marks what is outside with -1.

    Attributes:
        name: where they were read from.
        layouts: what the codes of each level are, the coarsest first.
        levels: (N, *grid, *code_shape) integers of each level, of the smallest type; signals
            without axes have one position, a grid of (1,).
        attributes: (N,) int64 values of each attribute by name, -1 where there is none.
        extents: (N, axes) int64, the size of each signal along each axis.
        paths: (N,) where each signal came from.
        crops: the number of squares cut from each picture.
        signal: the name of the kind of signal.
        counts: (N,) int64 positions of each signal at each level; None where all grids are equal.
    """

    name: str
    layouts: tuple[CodeSpec, ...]
    levels: tuple[NDArray[np.integer], ...]
    attributes: Mapping[str, NDArray[np.int64]]
    extents: NDArray[np.int64]
    paths: NDArray[np.object_]
    crops: int = 1
    signal: str = IMAGE
    counts: tuple[NDArray[np.int64], ...] | None = None

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
        return tuple(
            codes.shape[1 : codes.ndim - len(layout.code_shape)]
            for codes, layout in zip(self.levels, self.layouts, strict=True)
        )

    def take(self, indices: NDArray[np.int64]) -> CodeArrays:
        """The signals at some indices."""
        return replace(
            self,
            levels=tuple(codes[indices] for codes in self.levels),
            attributes={name: values[indices] for name, values in self.attributes.items()},
            extents=self.extents[indices],
            paths=self.paths[indices],
            counts=self.counts and tuple(counts[indices] for counts in self.counts),
        )

    def codes(self, level: int, indices: NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """The codes of one level, (B, *grid, *code_shape) int64, with -1 after shorter signals.

        The grid is that of the longest of these signals.
        """
        stored = self.levels[level][indices]
        if self.counts is None:
            return torch.from_numpy(stored.astype(np.int64))
        counts = self.counts[level][indices]
        codes = stored[:, : int(counts.max(initial=1))].astype(np.int64)
        codes[np.arange(codes.shape[1]) >= counts[:, None]] = OUTSIDE
        return torch.from_numpy(codes)

    def digest(self) -> str:
        """SHA-256 (hex) of codes and attributes, which a resumed run must find unchanged."""
        total = hashlib.sha256()
        each = sorted(self.attributes.items())
        named = [("" if name == CLASS else name, values) for name, values in each]
        named += [("positions", counts) for counts in self.counts or ()]
        for name, array in [*(("", level) for level in self.levels), *named]:
            total.update(f"{name}{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def read_codes(tokens: TokenFile) -> CodeArrays:
    """All codes of a file, in memory.

    Raises:
        TokensError: the file has no records, or a record is wrong.
        DataError: the codes of two records differ in their grid, of more than one axis, or a label
            is negative.
    """
    kind = stored_type(tokens.levels)
    found: list[TokenBatch] = []
    for batch in tokens.batches():
        start = found[0] if found else batch
        for codes, first in zip(batch.levels, start.levels, strict=True):
            if codes.shape[1:] != first.shape[1:] and batch.extents.shape[1] != 1:
                raise _different(tokens, start.paths[0], first, batch.paths[0], codes)
        for name, values in batch.attributes.items():
            _refuse_negative(tokens, batch, name, values)
        found.append(replace(batch, levels=tuple(codes.astype(kind) for codes in batch.levels)))
    if not found:
        raise TokensError(f"{tokens.path}: expected codes, got no record; encode some signals")
    each = list(zip(*(batch.levels for batch in found), strict=True))
    return CodeArrays(
        str(tokens.path),
        tokens.levels,
        tuple(
            on_positions(_joined(codes), spec.code_shape)
            for codes, spec in zip(each, tokens.levels, strict=True)
        ),
        {name: np.concatenate([b.attributes[name] for b in found]) for name in tokens.names},
        np.concatenate([batch.extents for batch in found]),
        np.concatenate([batch.paths for batch in found]),
        tokens.crops,
        tokens.signal,
        _counts(each),
    )


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


def _counts(
    levels: Sequence[Sequence[NDArray[np.integer]]],
) -> tuple[NDArray[np.int64], ...] | None:
    """The positions of each signal at each level, where they differ at some level."""
    if all(len({codes.shape[1:] for codes in parts}) == 1 for parts in levels):
        return None
    return tuple(
        np.concatenate([np.full(len(codes), codes.shape[1], np.int64) for codes in parts])
        for parts in levels
    )


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


def _different(
    tokens: TokenFile, path: str, codes: NDArray[np.integer], other: str, found: NDArray[np.integer]
) -> DataError:
    shapes = [" x ".join(map(str, array.shape[1:])) for array in (codes, found)]
    words = ["encode", "RUN", tokens.source or "DATA", "-o", str(tokens.path)]
    command = shlex.join(["vocabula", *words, "--crop", "64", "--crops", "12", "--overwrite"])
    return DataError(
        f"{tokens.path}: expected codes of one grid, got {shapes[0]} of {path} and {shapes[1]} of "
        f"{other}; encode images of one size, or equal squares of them: {command} (or --resize 64)"
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
