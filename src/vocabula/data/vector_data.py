"""Batches of vectors for training."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.data.base import SignalData, Source
from vocabula.data.batch import Batch
from vocabula.data.order import Stream, Turns
from vocabula.data.vector_files import open_vectors
from vocabula.data.vectors import VectorSource
from vocabula.errors import DataError
from vocabula.registry import component
from vocabula.signals.attributes import CLASS


@component("data", "vectors")
class VectorData(SignalData):
    """How vectors are read and batched.

    Args:
        strict: refuse rows with NaN or infinity instead of leaving them out.
    """

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__(strict=strict)

    def open(
        self, path_or_name: str | os.PathLike[str], *, channels: int | None = None
    ) -> VectorSource:
        """Open vectors; see `open_vectors`.

        Raises:
            DataError: the file is missing, damaged, holds no vectors, or vectors of another width.
        """
        source = open_vectors(path_or_name, strict=self.strict)
        check_channels(source, channels)
        return source

    def _train_batches(self, source: Source, turns: Turns) -> Iterator[Batch]:
        """Batches of finite rows."""
        vectors = _vectors(source)
        rows = vectors.finite_rows()
        count = len(vectors) if rows is None else len(rows)
        stream = Stream(count, seed=turns.seed)
        for number in turns:
            drawn, _ = stream.take(turns.places(number))
            yield batch_of(vectors, drawn if rows is None else rows[drawn])

    def extent(self, source: Source) -> tuple[int, ...]:
        """No axis of vectors; the common size of other signals."""
        return _vectors(source).extent


def check_channels(source: VectorSource, channels: int | None) -> None:
    """Refuse vectors, or other signals of equal size, with another number of channels.

    Args:
        source: the signals.
        channels: of the model; None takes any.

    Raises:
        DataError: the numbers differ.
    """
    if channels is None or source.channels == channels:
        return
    expected, got = f"vectors of width {channels}", str(source.channels)
    if source.extent:
        shape = (len(source), source.channels, *source.extent)
        expected, got = f"signals of {channels} channels", f"{got} in shape {shape}"
    raise DataError(
        f"{source.name}: expected {expected}, got {got}; give those of the kind that the "
        "tokenizer was trained on"
    )


def batch_of(source: VectorSource, rows: NDArray[np.int64]) -> Batch:
    """Some rows of a source as a batch for training."""
    order = np.argsort(rows, kind="stable")  # a file is read in its order
    values = np.empty((len(rows), source.channels, *source.extent), np.float32)
    values[order] = source.gather(rows[order])
    return Batch(
        torch.from_numpy(values),
        {CLASS: torch.from_numpy(source.labels(rows))},
        torch.from_numpy(rows),
    )


def _vectors(source: Source) -> VectorSource:
    if not isinstance(source, VectorSource):
        raise DataError(
            f"{source.name}: expected vectors, got {type(source).__name__}; open them with "
            "open_vectors"
        )
    return source
