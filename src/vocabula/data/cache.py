"""Decoded images kept in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.source import ImageSource, Sample


class ImageCache:
    """Reads images from a source and keeps the decoded ones, up to a number of bytes.

    While all images have the size of the first one, they are kept in one array, and a batch is one
    indexing operation. Images of other sizes are kept one by one.

    Args:
        source: where the images come from.
        limit: bytes to keep at most; 0 keeps nothing.
    """

    def __init__(self, source: ImageSource, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._array: NDArray[Any] | None = None
        self._labels = np.full(len(source), -1, np.int64)
        self._filled = np.zeros(len(source), bool)
        self._others: dict[int, Sample] = {}
        self._bytes = 0
        self._started = False

    def gather(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
        """Images (B, H, W, C) and labels (B,) at once, or None if they must be read one by one."""
        images = self._source.gather(indices)
        if images is not None:
            labels = self._source.labels(indices)
            return images, self._labels[indices] if labels is None else labels
        if not self._started and self._limit:
            self.read(int(indices[0]))
        if self._array is None:
            return None
        for index in indices[~self._filled[indices]]:
            self.read(int(index))
            if self._array is None:
                return None
        return self._array[indices], self._labels[indices]

    def read(self, index: int) -> Sample:
        """Read one image, from memory if it is there."""
        if index in self._others:
            return self._others[index]
        if self._array is not None and self._filled[index]:
            label = int(self._labels[index])
            where = self._source.describe(index)
            return Sample(self._array[index], None if label < 0 else label, where, index)
        sample = self._source.read(index)
        if not self._started:
            self._start(sample)
        self._keep(index, sample)
        return sample

    def _start(self, first: Sample) -> None:
        """Make room for all images if they fit; pages are taken as they are filled."""
        self._started = True
        if 0 < first.image.nbytes * len(self._source) <= self._limit:
            shape = (len(self._source), *first.image.shape)
            self._array = np.empty(shape, first.image.dtype)

    def _keep(self, index: int, sample: Sample) -> None:
        if self._array is not None and sample.image.shape == self._array.shape[1:]:
            self._array[index] = sample.image
            self._labels[index] = -1 if sample.label is None else sample.label
            self._filled[index] = True
            return
        self._array = None  # sizes differ after all: from here on, images are kept one by one
        if self._bytes + sample.image.nbytes <= self._limit:
            self._bytes += sample.image.nbytes
            self._others[index] = sample
