"""Equal squares of pictures of any size: resized, cut out, or both; for codes of one grid."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocabula.data.order import generator
from vocabula.data.source import BrokenImageError, ImageSource, Sample
from vocabula.data.transforms import crop_image
from vocabula.errors import OptionError

_STREAM = 3
"""The stream of random numbers that places crops."""
_CROP = re.compile(r"#\d+(\.\w+)?$")


@dataclass(frozen=True, slots=True)
class Cut:
    """How equal squares are made of a picture.

    ::

        picture --resize--> its shorter side has so many pixels --crop--> squares

    Args:
        crop: side of each square, in pixels; None takes the central square of the resized picture.
        crops: squares of each picture.
        resize: pixels of the shorter side before cutting; None leaves the size.
        seed: seed of the positions, which depend only on it and the picture's index.

    Raises:
        OptionError: a number is out of range or does not fit the others.
    """

    crop: int | None = None
    crops: int = 1
    resize: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("crop", "crops", "resize"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name}: expected an integer >= 1, got {value}; raise it")
        if self.crop is None and self.resize is None:
            raise OptionError("crops: expected the side of the squares, got none; give crop too")
        if self.crop is None and self.crops > 1:
            raise OptionError(
                f"crops: expected 1 where the centre is kept, got {self.crops}; give crop too"
            )
        if self.crop is not None and self.resize is not None and self.crop > self.resize:
            raise OptionError(
                f"crop: expected at most resize={self.resize}, got {self.crop}; lower it"
            )

    @property
    def side(self) -> int:
        """Pixels of each side of a square."""
        return self.crop or self.resize or 1

    def draws(self, picture: int) -> NDArray[np.float32]:
        """Where the squares of a picture lie: (crops, 2) numbers in [0, 1)."""
        if self.crop is None:
            return np.full((1, 2), 0.5, np.float32)
        random = generator(self.seed, picture, stream=_STREAM)
        return random.random((self.crops, 2), dtype=np.float32)


class CroppedSource(ImageSource):
    """The squares of another source's pictures, picture by picture.

    A picture that is smaller than the squares is skipped like a broken one. With several squares
    per picture, square k of ``cat.jpg`` is named ``cat#k.jpg``; see `picture_of`.

    Args:
        source: the pictures.
        cut: how squares are made of them.
    """

    def __init__(self, source: ImageSource, cut: Cut) -> None:
        super().__init__(
            source.name, source.channels, label_names=source.label_names, strict=source.strict
        )
        self.source, self.cut = source, cut
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
        draw = self.cut.draws(picture)[number]
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


def crop_name(path: str, number: int) -> str:
    """The name of a square of a picture: ``cat#3.jpg`` for the one after three of ``cat.jpg``."""
    stem, dot, suffix = path.rpartition(".")
    if stem and suffix.isalnum() and not stem.endswith("/"):
        return f"{stem}#{number}{dot}{suffix}"
    return f"{path}#{number}"


def picture_of(path: str) -> str:
    """The picture that a square with the name of `crop_name` was cut from."""
    return _CROP.sub(lambda found: found[1] or "", path)
