"""Data that comes with installed packages: scikit-image's photographs, scikit-learn's digits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vocabula.data.arrays import ArraySource
from vocabula.data.folder import FolderSource
from vocabula.data.source import ImageSource
from vocabula.data.vectors import VectorSource
from vocabula.errors import DataError

TRAIN_PHOTOS = (
    "astronaut.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)
"""Every colour photograph that scikit-image's wheel holds, but for the held-out one.

The colour wheel, logo and silhouette in the same folder are drawings, so they stay out.
"""
TEST_PHOTOS = ("chelsea.png",)
"""The held-out photograph: a cat."""

TEST_DIGITS = 297
"""The last 297 of the 1797 digits are the test split."""


def open_photos(
    split: str = "train", *, strict: bool = False, channels: int | None = None
) -> ImageSource:
    """scikit-image's colour photographs, from its installed files; nothing is downloaded.

    Args:
        split: "train" (`TRAIN_PHOTOS`) or "test" (`TEST_PHOTOS`).
        strict: refuse a broken installation instead of skipping files.
        channels: 1 (grey), 3 (RGB) or None for RGB.

    Raises:
        DataError: scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")  # its import takes long, and its folder is enough
    if spec is None or spec.origin is None:
        raise DataError(
            "sample:photos: expected scikit-image to be installed, got none;"
            " run pip install scikit-image"
        )
    root = Path(spec.origin).parent / "data"
    names = TRAIN_PHOTOS if split == "train" else TEST_PHOTOS
    files = [root / name for name in names]
    return FolderSource(root, files, name=_name("photos", split), strict=strict, channels=channels)


def open_digits(
    split: str = "train", *, strict: bool = False, channels: int | None = None
) -> ArraySource:
    """scikit-learn's 8x8 grey digits, scaled from 0..16 to 0..255 uint8, with labels.

    Args:
        split: "train" (the first 1500) or "test" (the last 297).
        strict: has no effect, the digits are checked by scikit-learn.
        channels: 1 (grey), 3 (RGB) or None for grey.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "sample:digits: expected scikit-learn to be installed, got none;"
            " run pip install scikit-learn"
        ) from error
    digits = load_digits()
    images = np.rint(digits.images * (255.0 / 16.0)).astype(np.uint8)
    part = slice(None, -TEST_DIGITS) if split == "train" else slice(-TEST_DIGITS, None)
    return ArraySource(
        images[part],
        digits.target[part].astype(np.int64),
        name=_name("digits", split),
        channels=channels,
        label_names=[str(digit) for digit in range(10)],
    )


def open_digit_vectors(split: str = "train", *, strict: bool = False) -> VectorSource:
    """scikit-learn's 8x8 digits as vectors of 64 values in [0, 1], with labels.

    Args:
        split: as for `open_digits`.
        strict: has no effect, the digits are checked by scikit-learn.

    Raises:
        DataError: scikit-learn is not installed.
    """
    images = open_digits(split)
    rows = np.arange(len(images))
    return VectorSource(
        images.gather(rows).reshape(len(rows), -1).astype(np.float32) / 255,
        images.labels(rows),
        name=images.name,
        strict=strict,
    )


SAMPLES: dict[str, Callable[..., ImageSource]] = {"photos": open_photos, "digits": open_digits}
"""The samples of images by name; each is a function of (split, strict, channels)."""


def _name(sample: str, split: str) -> str:
    return f"sample:{sample}" if split == "train" else f"sample:{sample}/{split}"
