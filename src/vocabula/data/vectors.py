"""Vectors as data: rows of one array, possibly on disk, with their labels and keys."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.content import content_of_array
from vocabula.data.labels import kept_labels, labels_of_array
from vocabula.data.source import DataWarning
from vocabula.errors import DataError, plural

_FLOATS = "efd"  # float16, float32, float64; longer types differ between machines
_NAMED = 3  # rows that a message names


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """Rows of a source.

    Attributes:
        values: (B, D) float32, finite.
        indices: (B,) int64, positions in the source.
        labels: (B,) int64, -1 where there is none.
    """

    values: NDArray[np.float32]
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


class VectorSource:
    """Vectors (N, D) of floating-point numbers, in memory or memory-mapped.

    Rows with NaN or infinity are left out while they are read, and counted in `skipped`.

    Args:
        vectors: (N, D), float16, float32 or float64.
        labels: (N,) whole numbers or texts, see `labels_of`; or None.
        keys: a name for each row; or None.
        name: what messages call the data.
        strict: refuse rows that are not finite.

    Attributes:
        name: what messages call the data.
        width: D.
        keys: a name for each row, or None.
        label_names: class names by label, or None.
        skipped: number of rows left out in the last complete pass.

    Raises:
        DataError: shape or type do not fit, there is no row, or the number of labels or keys
            differs.
    """

    def __init__(
        self,
        vectors: NDArray[Any],
        labels: NDArray[Any] | None = None,
        *,
        keys: Sequence[str] | None = None,
        name: str = "array",
        strict: bool = False,
    ) -> None:
        _check_array(vectors, name)
        for what, given in (("labels", labels), ("keys", keys)):
            if given is not None and len(given) != len(vectors):
                raise DataError(
                    f"{name}: expected {len(vectors)} {what}, one for each vector, got "
                    f"{len(given)}; give as many"
                )
        self.name, self.width, self.skipped = name, vectors.shape[1], 0
        self.keys = None if keys is None else list(keys)
        self.label_names: list[str] | None = None
        self._vectors, self._strict = vectors, strict
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

    def batches(self, batch_size: int = 2**14) -> Iterator[VectorBatch]:
        """All finite rows in order; memory does not depend on their number.

        Raises:
            DataError: a row is not finite and the source is strict, or no row is finite.
        """
        skipped, named = 0, list[int]()
        for first in range(0, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            values = self.gather(slice(first, first + batch_size))
            good = np.isfinite(values).all(axis=1)
            if not good.all():
                if self._strict:
                    self._refuse(int(rows[~good][0]))
                skipped += int((~good).sum())
                named += rows[~good][: _NAMED - len(named)].tolist()
                rows, values = rows[good], values[good]
            if len(rows):
                yield VectorBatch(values, rows, self._labels[rows])
        self.skipped = skipped
        self._report(named)

    def _refuse(self, row: int) -> None:
        raise DataError(
            f"{self.name}[{row}]: expected finite values, got NaN or infinity; repair that row, "
            "or leave such rows out"
        )

    def _report(self, named: Sequence[int]) -> None:
        if not self.skipped:
            return
        where = ", ".join(map(str, named)) + (", ..." if self.skipped > len(named) else "")
        if self.skipped == len(self):
            raise DataError(
                f"{self.name}: expected finite vectors, got NaN or infinity in every row; "
                "check how they were made"
            )
        warnings.warn(
            f"{self.name}: left out {plural(self.skipped, 'row')} with NaN or infinity: {where}",
            DataWarning,
            stacklevel=3,
        )


def _check_array(vectors: NDArray[Any], name: str) -> None:
    if vectors.ndim != 2:
        advice = "x[:, None] for numbers, x.reshape(len(x), -1) for more axes"
        raise DataError(
            f"{name}: expected vectors (N, D), got shape {vectors.shape}; reshape them: {advice}"
        )
    if vectors.dtype.char not in _FLOATS:
        raise DataError(
            f"{name}: expected float16, float32 or float64, got {vectors.dtype}; convert with "
            "x.astype('float32') if the numbers are quantities"
        )
    if 0 in vectors.shape:
        raise DataError(f"{name}: expected vectors (N, D), got none, shape {vectors.shape}")
