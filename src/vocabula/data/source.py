"""The interface of image sources, and how broken items are skipped."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.budgets import BATCH_PIXELS, TASK_IMAGES, TASK_PIXELS
from vocabula.data.ahead import map_ahead
from vocabula.data.base import Source
from vocabula.data.batch import Batch
from vocabula.data.content import content_of_items
from vocabula.data.image_problems import BrokenImageError, DataWarning
from vocabula.errors import DataError, plural
from vocabula.signals.attributes import CLASS


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a source.

    Attributes:
        image: (H, W, C), uint8, or float32 in [0, 1].
        label: the class index, or None.
        path: where the image came from: a file's path relative to the data, or ``name[index]``.
        index: the index that was actually read; it differs from the requested one if that image is
            broken and the next readable one took its place.
    """

    image: NDArray[Any]
    label: int | None
    path: str
    index: int


class ImageSource(Source):
    """A sequence of images that is read by index; every kind of data is one subclass.

    Attributes:
        block_bounds: (blocks + 1,) rising indices from 0 to the length; items between two bounds
            are cheap to read together. None when any item is as cheap to read as any other.
        window_blocks: how many blocks can be kept in memory at a time.
        passed_over: what lies among the images and is none, each with the reason.
    """

    block_bounds: NDArray[np.int64] | None = None
    passed_over: Sequence[str] = ()
    window_blocks: int = 8

    @abstractmethod
    def _read(self, index: int) -> Sample:
        """Decode one image; raises `BrokenImageError` when it cannot be decoded.

        Several threads may call it at the same time.
        """

    @abstractmethod
    def describe(self, index: int) -> str:
        """The name of one item, for messages."""

    def path(self, index: int) -> str:
        """Where one image came from, as its `Sample` says it."""
        return self.describe(index)

    @abstractmethod
    def pixels(self, index: int) -> int:
        """Height times width of one image, without decoding it; 0 if its header is broken."""

    @property
    def block_size(self) -> int:
        """Number of neighbouring items that are cheap to read together; 1 for random access."""
        return 1 if self.block_bounds is None else int(np.diff(self.block_bounds).max())

    def content(self) -> str:
        """Hash of the images, the same for a copy of them elsewhere; see `content_of_files`.

        Sources without a cheaper way decode 16 images, spread evenly.
        """
        places = np.unique(np.linspace(0, len(self) - 1, 16).round().astype(np.int64))
        images = []
        for index in places.tolist():
            try:
                images.append(self._read(index).image)
            except BrokenImageError:
                continue
        return content_of_items(len(self), images)

    def read(self, index: int) -> Sample:
        """Read one image; a broken one is replaced by the next readable one.

        The replacement depends on the data alone, so runs stay reproducible. It is recorded once
        in `problems`, with one warning.

        Args:
            index: position in [0, len).

        Returns:
            The sample; its `index` says which image was actually read.

        Raises:
            DataError: the image is broken and `strict` is set, or no image is readable.
            IndexError: index is out of range.
        """
        length = len(self)
        if not 0 <= index < length:
            raise IndexError(f"{self.name}: index {index} is outside [0, {length})")
        for candidate in range(index, index + length):
            candidate %= length
            if candidate in self._broken:
                continue
            try:
                return self._read(candidate)
            except BrokenImageError as reason:
                self._note_broken(candidate, str(reason))
        raise self._all_broken()

    def samples(
        self, *, limit: int | None = None, workers: int = 0, overlap: bool = True
    ) -> Generator[Sample, None, None]:
        """Read images from the first on, in order, each once; broken ones are left out.

        Images left out are listed in `problems`, in order, with one warning each. Samples, problems
        and errors do not depend on `workers`.

        Args:
            limit: how many images to read at most, broken ones included; None reads all.
            workers: threads that decode ahead, see `map_ahead`; 0 decodes in this thread.
            overlap: whether they go on while the caller is busy, see `map_ahead`.

        Yields:
            The samples; their images lie in memory as (C, H, W).

        Raises:
            DataError: an image is broken and `strict` is set, or no image of the source is
                readable.
        """
        count = len(self) if limit is None else min(limit, len(self))
        ahead = map_ahead(self._attempt, self._tasks(count), workers=workers, overlap=overlap)
        with closing(ahead) as results:
            for index, result in (pair for task in results for pair in task):
                if isinstance(result, Sample):
                    yield result
                else:
                    self._note_broken(index, str(result))
        if len(self._broken) == len(self):
            raise self._all_broken()

    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
        batch_pixels: int | None = None,
    ) -> Generator[Batch, None, None]:
        """Whole images, once each, in order; neighbours of equal size share a batch.

        Broken images are left out; they are listed in `problems`.

        Args:
            batch_size: most images of a batch; None takes 64.
            limit: number of images to stop after; None reads all.
            workers: threads that decode ahead; 0 decodes in this thread. Unlike training's
                processes, which are an option of `ImageData`, they start at once.
            overlap: whether they go on while the caller is busy with a batch.
            batch_pixels: most pixels of a batch of several images; None takes `BATCH_PIXELS`.

        Yields:
            Batches with indices and paths.
        """
        waiting: list[Sample] = []
        most, pixels = batch_size or self.batch_size, batch_pixels or BATCH_PIXELS
        with closing(self.samples(limit=limit, workers=workers, overlap=overlap)) as samples:
            for sample in samples:
                if waiting and not _fits(waiting, sample, most, pixels):
                    yield _batch(waiting)
                    waiting = []
                waiting.append(sample)
        if waiting:
            yield _batch(waiting)

    def _tasks(self, count: int) -> Iterator[tuple[range, int]]:
        """The first `count` indices in runs that are read together, and the pixels of each run."""
        start = pixels = 0
        for end in range(1, count + 1):
            pixels += self.pixels(end - 1)
            if pixels >= TASK_PIXELS or end - start == TASK_IMAGES or end == count:
                yield range(start, end), pixels
                start, pixels = end, 0

    def _attempt(self, indices: range) -> list[tuple[int, Sample | BrokenImageError]]:
        """Read some images in any thread; errors of single images are results."""
        found: list[tuple[int, Sample | BrokenImageError]] = []
        for index in indices:
            if index in self._broken:
                continue
            try:
                sample = self._read(index)
            except BrokenImageError as reason:
                found.append((index, reason))
                continue
            # Batches are (B, C, H, W). Moving the channels takes a tenth of the decoding time, so
            # it is done here, in parallel.
            planes = np.ascontiguousarray(sample.image.transpose(2, 0, 1))
            found.append((index, replace(sample, image=planes.transpose(1, 2, 0))))
        return found

    def _all_broken(self) -> DataError:
        return DataError(
            f"{self.name}: expected readable images, got {plural(len(self), 'broken one')}"
            f" ({self.problems[-1] if self.problems else 'no reason known'}); check the data"
        )

    def part(self, first: int, last: int) -> ImageSource:
        """See `Source.part`."""
        from vocabula.data.image_part import ImagePart

        return ImagePart(self, first, last)

    def left_out(self, index: int) -> tuple[str, str]:
        """See `Source.left_out`."""
        return self.path(index), super().left_out(index)[1]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[Any] | None:
        """Read many images at once as (B, H, W, C), or None when the source cannot do that."""
        return None

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The labels (B,) that belong to `gather`, -1 for none; None where `gather` gives None."""
        return None

    def smallest(self) -> tuple[int, int] | None:
        """The smallest height and the smallest width of any image, or None if not known cheaply."""
        return None

    def _note_broken(self, index: int, reason: str) -> None:
        problem = f"{self.describe(index)}: {reason}"
        if self.strict:
            raise DataError(
                f"{self.name}: expected readable images, got {problem};"
                " remove the file or leave out strict to skip it"
            )
        self._broken.add(index)
        self._reasons[index] = reason
        self.problems.append(problem)
        warnings.warn(f"{self.name}: skipped {problem}", DataWarning, stacklevel=4)


def _fits(waiting: list[Sample], one: Sample, batch_size: int, pixels: int) -> bool:
    first, count = waiting[0].image, len(waiting) + 1
    if one.image.shape != first.shape or one.image.dtype != first.dtype or count > batch_size:
        return False
    return count * first.shape[0] * first.shape[1] <= pixels


def _batch(samples: list[Sample]) -> Batch:
    import torch

    labels = [-1 if sample.label is None else sample.label for sample in samples]
    return Batch(
        torch.from_numpy(np.stack([sample.image.transpose(2, 0, 1) for sample in samples])),
        {CLASS: torch.tensor(labels, dtype=torch.int64)},
        torch.tensor([sample.index for sample in samples], dtype=torch.int64),
        [sample.path for sample in samples],
    )
