"""Equal squares of pictures of any size: resized, cut out, or both; for codes of one grid."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocabula.data.image_problems import BrokenImageError
from vocabula.data.picture_cuts import CROP_NAME, Cut, crop_name
from vocabula.data.source import ImageSource, Sample
from vocabula.data.transforms import crop_image


class CroppedSource(ImageSource):
    """The squares of another source's pictures, picture by picture.

    A picture that is smaller than the squares is skipped like a broken one. With several squares
    per picture, square k of ``cat.jpg`` is named ``cat#k.jpg``; see `picture_of`.

    Args:
        source: the pictures.
        cut: how squares are made of them.
        first: number of the first picture, on which the places of its squares depend.
    """

    def __init__(self, source: ImageSource, cut: Cut, first: int = 0) -> None:
        super().__init__(
            source.name, source.channels, label_names=source.label_names, strict=source.strict
        )
        self.source, self.cut, self._first = source, cut, first
        self.crops = cut.crops
        self._kept = threading.local()  # the picture that each thread decoded last
        self._skipped: set[int] = set()

    def __len__(self) -> int:
        """The number of squares."""
        return len(self.source) * self.crops

    def describe(self, index: int) -> str:
        """The name of the picture and the number of the square."""
        picture, number = divmod(index, self.crops)
        return self._name(self.source.describe(picture), number)

    def path(self, index: int) -> str:
        """See `ImageSource.path`."""
        picture, number = divmod(index, self.crops)
        return self._name(self.source.path(picture), number)

    def pixels(self, index: int) -> int:
        """This square's share of the pixels that are decoded."""
        return self.cut.side**2 + self.source.pixels(index // self.crops) // self.crops

    def smallest(self) -> tuple[int, int]:
        """Height and width of every square."""
        return self.cut.side, self.cut.side

    def _read(self, index: int) -> Sample:
        picture, number = divmod(index, self.crops)
        sample = self._picture(picture)
        height, width = sample.image.shape[:2]
        side = self.cut.side
        if min(height, width) < side:
            raise BrokenImageError(
                f"{width}x{height} pixels, smaller than squares of {side} (resize={side} helps)"
            )
        draw = self.cut.draws(self._first + picture)[number]
        square = crop_image(sample.image, side, draw, pad=False, name=sample.path)
        return replace(sample, image=square, path=self._name(sample.path, number), index=index)

    def _picture(self, number: int) -> Sample:
        """A picture, resized; decoded once for all its squares."""
        found: tuple[int, Sample] | None = getattr(self._kept, "found", None)
        if found is None or found[0] != number:
            sample = self.source._read(number)
            if self.cut.resize is not None:
                sample = replace(sample, image=resize_image(sample.image, self.cut.resize))
            self._kept.found = found = (number, sample)
        return found[1]

    def _name(self, path: str, number: int) -> str:
        return path if self.crops == 1 else crop_name(path, number)

    def _note_broken(self, index: int, reason: str) -> None:
        picture = index // self.crops
        if picture in self._skipped:
            self._broken.add(index)
            self._reasons[index] = reason
            return
        self._skipped.add(picture)
        super()._note_broken(index, reason)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the pictures that threads keep."""
        return {**self.__dict__, "_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state from `__getstate__`."""
        self.__dict__.update(state, _kept=threading.local())


def resize_image(image: NDArray[Any], shorter: int) -> NDArray[Any]:
    """An (H, W, C) image resized to a shorter side, by antialiased bicubic filtering.

    Args:
        image: (H, W, C), uint8, or float32 in [0, 1].
        shorter: pixels of the shorter side; the longer one follows, rounded.
    """
    height, width = image.shape[:2]
    scale = shorter / min(height, width)
    size = (max(shorter, round(width * scale)), max(shorter, round(height * scale)))
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
                size, Image.Resampling.BICUBIC
            )
        )
        for channel in range(image.shape[2])
    ]
    found = np.stack(planes, axis=-1)
    return found if found.dtype == np.uint8 else np.clip(found, 0.0, 1.0)


def picture_of(path: str) -> str:
    """The picture that a square with the name of `crop_name` was cut from."""
    return CROP_NAME.sub(lambda found: found[1] or "", path)
