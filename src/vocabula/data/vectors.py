"""Vectors as data: rows of one array, possibly on disk, with their labels and keys."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Generator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.data.base import Source
from vocabula.data.batch import Batch
from vocabula.data.content import content_of_array
from vocabula.data.image_problems import DataWarning
from vocabula.data.labels import kept_labels, labels_of_array
from vocabula.data.row_names import RowNames
from vocabula.errors import DataError, plural
from vocabula.signals.attributes import CLASS

_FLOATS = "efd"  # float16, float32, float64; longer types differ between machines
_NAMED = 3  # rows that a message names


class VectorSource(Source):
    """Vectors (N, D) of floating-point numbers, in memory or memory-mapped.

    Rows with NaN or infinity are left out while they are read, and counted in `problems`.

    Args:
        vectors: (N, D), float16, float32 or float64.
        labels: (N,) whole numbers or texts, see `labels_of`; or None.
        keys: a name for each row; or None.
        name: what messages call the data.
        strict: refuse rows that are not finite.

    Attributes:
        channels: D.

    Raises:
        DataError: shape or type do not fit, there is no row, or the number of labels or keys
            differs.
    """

    batch_size: ClassVar[int] = 2**15

    def __init__(
        self,
        vectors: NDArray[Any],
        labels: NDArray[Any] | None = None,
        *,
        keys: Sequence[str] | None = None,
        name: str = "array",
        strict: bool = False,
    ) -> None:
        self.check_array(vectors, name)
        for what, given in (("labels", labels), ("keys", keys)):
            if given is not None and len(given) != len(vectors):
                raise DataError(
                    f"{name}: expected {len(vectors)} {what}, one for each vector, got "
                    f"{len(given)}; give as many"
                )
        super().__init__(name, vectors.shape[1], strict=strict)
        self.keys = None if keys is None else list(keys)
        self._vectors, self._first = vectors, 0
        self._left_out: NDArray[np.int64] | None = None  # known after a pass over all rows
        self._labels = np.full(len(vectors), -1, np.int64)
        if labels is not None:
            found = kept_labels(name, lambda: labels_of_array(np.asarray(labels)))
            if found is not None:
                self._labels, self.label_names = found.values, found.names

    def __len__(self) -> int:
        """The number of rows, including rows that are not finite."""
        return len(self._vectors)

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels (B,), -1 where there is none."""
        return self._labels[indices]

    def content(self) -> str:
        """Hash of type, shape and values; see `content_of_array`."""
        return content_of_array(self._vectors)

    def gather(self, indices: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Rows (B, D) in float32, unchanged, finite or not."""
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            return np.array(self._vectors[indices], np.float32, order="C")  # a file is read-only

    def finite_rows(self) -> NDArray[np.int64] | None:
        """The indices of all finite rows; None if all are.

        Raises:
            DataError: a row is not finite and the source is strict, or no row is finite.
        """
        if self._left_out is None:  # else a pass over all rows has found them
            for _ in self.batches():
                pass
        if self._left_out is None or not len(self._left_out):
            return None
        return np.delete(np.arange(len(self)), self._left_out)

    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch, None, None]:
        """All finite rows in order; memory does not depend on their number.

        Reading a row is cheaper than handing it over, so this thread reads, whatever `workers` is.

        Raises:
            DataError: a row is not finite and the source is strict, or no row is finite.
        """
        size = batch_size or self.batch_size
        end = len(self) if limit is None else min(limit, len(self))
        bad = [np.empty(0, np.int64)]
        for first in range(0, end, size):
            rows = np.arange(first, min(first + size, end))
            values = self.gather(slice(first, rows[-1] + 1))
            good = _finite(values)
            if good is not None:
                if self.strict:
                    self._refuse(int(rows[~good][0]))
                bad.append(rows[~good])
                rows, values = rows[good], values[good]
            if len(rows):
                yield Batch(
                    torch.from_numpy(values),
                    {CLASS: torch.from_numpy(self._labels[rows])},
                    torch.from_numpy(rows),
                    self.describe(rows),
                )
        left_out = np.concatenate(bad)
        self._note(left_out[:_NAMED].tolist(), len(left_out))
        if end == len(self):
            self._left_out = left_out

    @property
    def extent(self) -> tuple[int, ...]:
        """The size of every row along each axis of the signal; () for vectors."""
        return tuple(self._vectors.shape[2:])

    @staticmethod
    def check_array(vectors: NDArray[Any], name: str) -> None:
        """Refuse an array that is none of vectors.

        Raises:
            DataError: shape or type do not fit, or there is no row.
        """
        _check_axes(vectors, name)
        check_values(vectors, name)

    def describe(self, rows: NDArray[np.int64]) -> Sequence[str]:
        """The keys of rows, or their numbers in brackets if they have none."""
        if self.keys is not None:
            return [self.keys[row] for row in rows.tolist()]
        return RowNames(self._first + rows)

    def part(self, first: int, last: int) -> VectorSource:
        """See `Source.part`."""
        found = copy.copy(self)
        found._vectors, found._labels = self._vectors[first:last], self._labels[first:last]
        found.keys = None if self.keys is None else self.keys[first:last]
        found._first, found._left_out, found.problems = self._first + first, None, []
        return found

    def left_out(self, index: int) -> tuple[str, str]:
        """See `Source.left_out`."""
        return self.describe(np.array([index]))[0], "NaN or infinity"

    def _refuse(self, row: int) -> None:
        raise DataError(
            f"{self.name}[{self._first + row}]: expected finite values, got NaN or infinity; "
            "repair that row, or leave such rows out"
        )

    def _note(self, named: Sequence[int], skipped: int) -> None:
        """Refuse or announce rows that are left out, the first of them by name."""
        if not skipped:
            return
        if self.strict:
            self._refuse(named[0])
        if skipped == len(self):
            raise DataError(
                f"{self.name}: expected finite vectors, got NaN or infinity in every row; "
                "check how they were made"
            )
        where = ", ".join(str(self._first + row) for row in named) + (
            ", ..." if skipped > len(named) else ""
        )
        problem = f"left out {plural(skipped, 'row')} with NaN or infinity: {where}"
        if problem not in self.problems:
            self.problems.append(problem)
        warnings.warn(f"{self.name}: {problem}", DataWarning, stacklevel=3)


def _finite(values: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Which rows are finite; None if all are."""
    if math.isfinite(torch.from_numpy(values).sum()):  # NaN and infinity would last: one fast pass
        return None
    good = np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))
    return None if good.all() else good


def _check_axes(vectors: NDArray[Any], name: str) -> None:
    if vectors.ndim != 2:
        advice = "x[:, None] for numbers, x.reshape(len(x), -1) for more axes"
        kind = " (images?)" if vectors.ndim in (3, 4) else ""
        raise DataError(
            f"{name}: expected vectors (N, D), got shape {vectors.shape}{kind}; reshape them: "
            f"{advice}"
        )


def check_values(vectors: NDArray[Any], name: str) -> None:
    """Refuse an array that does not hold floating-point numbers, or holds none.

    Raises:
        DataError: what it holds, and what to do.
    """
    if vectors.dtype.char not in _FLOATS:
        raise DataError(
            f"{name}: expected float16, float32 or float64, got {vectors.dtype}; convert with "
            "x.astype('float32') if the numbers are quantities"
        )
    if 0 in vectors.shape:
        raise DataError(f"{name}: expected rows of values, got none, shape {vectors.shape}")
