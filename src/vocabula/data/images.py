"""Batches of images for training and evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vocabula.data.ahead import cores, local_processes
from vocabula.data.base import SignalData, Source
from vocabula.data.batch import Batch
from vocabula.data.cache import ImageCache
from vocabula.data.folder import FolderSource
from vocabula.data.opening import SHARDS, open_source
from vocabula.data.order import Stream, Turns
from vocabula.data.pieces import Piece, files_of
from vocabula.data.source import ImageSource
from vocabula.data.transforms import crop_image, flip_images, too_small
from vocabula.errors import DataError, VocabulaError, picture_size
from vocabula.registry import component
from vocabula.signals.attributes import CLASS

CACHE_LIMIT = 2**30
"""Bytes of decoded images that ``cache="auto"`` keeps in memory."""
_LOOKED_AT = 32  # images whose size stands for that of all


@component("data", "images")
class ImageData(SignalData):
    """How images are read, cropped, flipped and batched.

    Batch k of a training run depends only on the data, these options, the seed and k: neither the
    batches before it nor the number of workers matter.

        source --order(seed, epoch)--> items --crop, flip--> rank r takes items r::world_size

    Args:
        channels: channels of the images, 1 (grey) or 3 (RGB); 0 keeps those of the data.
        crop: side of random square crops for training, in pixels; none trains on whole images.
        pad: mirror images that are smaller than the crop at their borders instead of refusing.
        flip: mirror half of the training images left to right.
        cache: "auto" keeps up to 1 GiB of decoded images in memory, "always" all, "never" none.
        workers: processes that read ahead, no more than there are cores; 0 reads in the training
            process.
        strict: refuse files that are broken or no pictures instead of skipping them.
        value_range: lowest and highest value in .npy and .npz files; default 0 and 1 for floats.
    """

    sized_by: ClassVar[str] = "crop"

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(0)] = 0,
        crop: Annotated[int, Ge(1)] | None = None,
        pad: bool = False,
        flip: bool = False,
        cache: Literal["auto", "always", "never"] = "auto",
        workers: Annotated[int, Ge(0), Le(256)] = 0,
        strict: bool = False,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(strict=strict)
        self.channels = channels
        self.crop = crop
        self.pad = pad
        self.flip = flip
        self.cache = cache
        self.workers = workers
        self.value_range = value_range

    def open(
        self, path_or_name: str | os.PathLike[str], *, channels: int | None = None
    ) -> ImageSource:
        """Open data with these options.

        Args:
            path_or_name: as for `open_source`.
            channels: channels of the model; None takes the option.

        Raises:
            DataError: the data are missing, damaged or do not fit.
        """
        return open_source(
            path_or_name,
            strict=self.strict,
            channels=channels or self.channels or None,
            value_range=self.value_range,
        )

    def open_files(
        self, place: str, pieces: Sequence[Piece], *, root: Path | None, channels: int | None
    ) -> ImageSource | None:
        """Picture files, row groups and tars are opened alone; see `SignalData.open_files`."""
        files, channels = files_of(pieces), channels or self.channels or None
        if root is not None:
            return FolderSource(root, files, name=place, strict=self.strict, channels=channels)
        opener = SHARDS.get(files[0].suffix.lower())
        if opener is None:
            return None
        shards = opener(files, name=place, strict=self.strict, channels=channels)
        first = pieces[0].first
        return shards.part(first, first + sum(piece.count for piece in pieces))

    def _train_batches(self, source: Source, turns: Turns) -> Iterator[Batch]:
        """Batches of images of one size; an image that comes again has another crop.

        Raises:
            DataError: images are smaller than the crop, or differ in size and there is no crop.
        """
        images = _images(source)
        self.check_sizes(images)
        batches = _Batches(self, images, turns)
        if self.workers == 0:
            return map(batches.batch, turns)
        return self._read_ahead(batches, turns)

    def extent(self, source: Source) -> tuple[int, ...]:
        """Height and width of the training images: of the crop, or of the first image."""
        images = _images(source)
        self.check_sizes(images)
        if self.crop is not None:
            return (self.crop, self.crop)
        height, width = images.read(0).image.shape[:2]
        return (height, width)

    def kept_bytes(self, source: Source) -> int:
        """About how many bytes of decoded images one process keeps."""
        images = _images(source)
        if self.cache_limit() == 0 or images.gather(np.zeros(1, np.int64)) is not None:
            return 0
        looked_at = range(min(len(images), _LOOKED_AT))
        mean = sum(images.pixels(index) for index in looked_at) / len(looked_at)
        most = self.cache_limit() * max(1, self.readers())
        return int(min(most, mean * images.channels * len(images)))

    def in_words(self, source: Source) -> str:
        """``whole images of 32 x 32`` or ``crops of 64 x 64``."""
        height, width = self.extent(source)
        return f"{'whole images' if self.crop is None else 'crops'} of {width} x {height}"

    def cache_limit(self) -> int:
        """Bytes of decoded images that one process keeps."""
        if self.cache == "never":
            return 0
        if self.cache == "always":
            return 2**62
        return CACHE_LIMIT // max(1, self.readers())

    def _read_ahead(self, batches: _Batches, turns: Turns) -> Iterator[Batch]:
        ready: DataLoader[Batch | VocabulaError] = DataLoader(
            batches,
            batch_size=None,
            sampler=turns,
            num_workers=self.readers(),
            # otherwise the loader would draw from the generator that training uses
            generator=torch.Generator(),
        )
        for batch in ready:
            if isinstance(batch, VocabulaError):
                raise batch
            yield batch

    def readers(self) -> int:
        """How many processes read ahead: as many as requested, but no more than there are cores."""
        return min(self.workers, max(1, cores() // local_processes()))

    def check_sizes(self, source: ImageSource) -> None:
        """Refuse images that are smaller than the crop, if sizes are known cheaply.

        Raises:
            DataError: there are such images.
        """
        smallest = source.smallest()
        if self.crop is not None and not self.pad and smallest is not None:
            height, width = smallest
            if min(height, width) < self.crop:
                raise too_small(source.name, height, width, self.crop)


class _Batches(Dataset[Batch | VocabulaError]):
    """Training batches by number."""

    def __init__(self, options: ImageData, source: ImageSource, turns: Turns) -> None:
        self._options = options
        self._source = source
        self._cache = ImageCache(source, options.cache_limit())
        self._turns = turns
        self._stream = Stream(
            len(source),
            seed=turns.seed,
            block_bounds=source.block_bounds,
            window_blocks=source.window_blocks,
        )

    def __getitem__(self, number: int) -> Batch | VocabulaError:
        """One batch; an error is returned, because workers would wrap it in a traceback."""
        try:
            return self.batch(number)
        except VocabulaError as error:
            return error

    def batch(self, number: int) -> Batch:
        """One batch."""
        indices, draws = self._stream.take(self._turns.places(number))
        images, labels = self._images(indices, draws)
        if self._options.flip:
            images = flip_images(images, draws[:, 2])
        attributes = {CLASS: torch.from_numpy(labels)}
        return Batch(_to_tensor(images), attributes, torch.from_numpy(indices))

    def _images(
        self, indices: NDArray[np.int64], draws: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        crop = self._options.crop
        together = self._cache.gather(indices) if crop is None else None
        if together is not None:
            return together
        samples = [self._cache.read(int(index)) for index in indices]
        labels = [-1 if sample.label is None else sample.label for sample in samples]
        images = [sample.image for sample in samples]
        if crop is not None:
            images = [
                crop_image(image, crop, draw, pad=self._options.pad, name=sample.path)
                for image, draw, sample in zip(images, draws, samples, strict=True)
            ]
        _check_equal(images, self._source.name)
        return np.stack(images), np.array(labels, np.int64)


def _check_equal(images: list[NDArray[Any]], name: str) -> None:
    shapes = sorted({image.shape[:2] for image in images})
    if len(shapes) > 1:
        sizes = " and ".join(picture_size(*shape) for shape in shapes[:2])
        side = min(min(shape) for shape in shapes)
        raise DataError(
            f"{name}: expected training images of one size, got {sizes};"
            f" cut equal squares with data.crop={side} or less"
        )


def _to_tensor(images: NDArray[Any]) -> Tensor:
    """(B, H, W, C) array to a contiguous (B, C, H, W) tensor."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()


def _images(source: Source) -> ImageSource:
    if not isinstance(source, ImageSource):
        raise DataError(
            f"{source.name}: expected images, got {type(source).__name__}; open them with "
            "open_source"
        )
    return source
