"""Where squares are cut from pictures, and what they are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabula.data.order import generator
from vocabula.errors import OptionError

_STREAM = 3
"""The stream of random numbers that places crops."""


CROP_NAME = re.compile(r"#\d+(\.\w+)?$")


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


def crop_name(path: str, number: int) -> str:
    """The name of a square of a picture: ``cat#3.jpg`` for the one after three of ``cat.jpg``."""
    stem, dot, suffix = path.rpartition(".")
    if stem and suffix.isalnum() and not stem.endswith("/"):
        return f"{stem}#{number}{dot}{suffix}"
    return f"{path}#{number}"
