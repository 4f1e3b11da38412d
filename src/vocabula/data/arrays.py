"""Images in one array: .npy (memory mapped) and .npz files, or an array in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.budgets import CHECKED_BYTES
from vocabula.data.content import content_of_array
from vocabula.data.image_problems import DataWarning
from vocabula.data.labels import kept_labels, labels_of_array
from vocabula.data.pixels import check_convertible, convert_channels
from vocabula.data.source import ImageSource, Sample
from vocabula.errors import DataError


class ArraySource(ImageSource):
    """Images of equal size in one array.

    Shapes: (N, H, W) is grey. In four dimensions both (N, H, W, C) and (N, C, H, W) work: the
    channels are the axis that has 1, 3 or 4 of them, else the smaller one; on a tie the last.
    Types: uint8 stays uint8 unless `value_range` says otherwise; bool becomes 0 and 255; every
    other type becomes float32 in [0, 1] by (x - low) / (high - low).

    Args:
        images: the array.
        labels: (N,) whole numbers or texts, see `labels_of`; or None.
        name: what messages call the data.
        channels: requested channels; None keeps those of the data.
        value_range: (low, high) of the
            values; default (0, 1) for floats, needed for other types.
        label_names: class names by label.

    Raises:
        DataError: shape, type, values or labels do not fit; NaN and infinity are named by index.
    """

    def __init__(
        self,
        images: NDArray[Any],
        labels: NDArray[Any] | None = None,
        *,
        name: str = "array",
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self._images = _channel_last(images, name)
        have = self._images.shape[-1]
        super().__init__(name, have if channels is None else channels, label_names=label_names)
        check_convertible(name, have, self.channels)
        self._range = _known_range(self._images.dtype, value_range, name)
        self._labels: NDArray[np.int64] | None = None
        if labels is not None:
            self._set_labels(np.asarray(labels))
        if self._range is not None and images.nbytes <= CHECKED_BYTES:
            for start in range(0, len(images), 256):
                self._scale(np.arange(start, min(start + 256, len(images))))

    def __len__(self) -> int:
        """The number of images."""
        return len(self._images)

    def describe(self, index: int) -> str:
        """``name[index]``."""
        return f"{self.name}[{index}]"

    def pixels(self, index: int) -> int:
        """Height times width, the same for every image."""
        return self._images.shape[1] * self._images.shape[2]

    def smallest(self) -> tuple[int, int]:
        """Height and width of every image."""
        return self._images.shape[1], self._images.shape[2]

    def content(self) -> str:
        """Hash of type, shape and values; see `content_of_array`."""
        return content_of_array(self._images)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Images (B, H, W, C) at once, uint8 or float32 in [0, 1]."""
        return convert_channels(self._scale(indices), self.channels, self.name)

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels (B,), -1 for an image without a label."""
        if self._labels is None:
            return np.full(len(indices), -1, np.int64)
        return self._labels[indices]

    def _set_labels(self, labels: NDArray[Any]) -> None:
        check_label_count(labels, len(self._images), self.name)
        found = kept_labels(self.name, lambda: labels_of_array(labels, self.label_names))
        if found is not None:
            self._labels, self.label_names = found.values, found.names

    def _read(self, index: int) -> Sample:
        where = np.array([index])
        label = int(self.labels(where)[0])
        image = self.gather(where)[0]
        return Sample(image, None if label < 0 else label, self.describe(index), index)

    def _scale(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        images = np.asarray(self._images[indices])
        if images.dtype == np.bool_:
            return images.astype(np.uint8) * 255
        if self._range is None:
            return images
        low, high = self._range
        flat = images.reshape(len(images), -1)
        good = ((flat >= low) & (flat <= high)).all(axis=1)  # false for NaN too
        if not good.all():
            self._refuse(indices[~good][0], flat[~good][0])
        return ((images - np.float64(low)) / (high - low)).astype(np.float32)

    def _refuse(self, index: int, values: NDArray[Any]) -> None:
        low, high = self._range or (0.0, 1.0)
        if not np.isfinite(values).all():
            raise DataError(
                f"{self.describe(index)}: expected finite values, got NaN or infinity;"
                " remove or repair that image"
            )
        raise DataError(
            f"{self.describe(index)}: expected values in [{low:g}, {high:g}],"
            f" got [{values.min():g}, {values.max():g}];"
            " say the true range with data.value_range=[low, high]"
        )


def check_label_count(labels: NDArray[Any], count: int, name: str) -> None:
    """Refuse another number of labels than of images."""
    if labels.size != count:
        raise DataError(
            f"{name}: expected {count} integer labels or texts, one for each image, got"
            f" {labels.dtype} of shape {labels.shape}; save labels of shape (N,)"
        )


def _channel_last(images: NDArray[Any], name: str) -> NDArray[Any]:
    flat = images.ndim == 2 and images.dtype.kind == "f"
    if images.ndim not in (3, 4) or images.dtype.kind not in "buif" or 0 in images.shape:
        raise DataError(
            f"{name}: expected numbers of shape (N, H, W), (N, H, W, C) or (N, C, H, W), got"
            f" {images.dtype} of shape {images.shape}; reshape the array"
            + "; vectors are for a tokenizer of vectors, such as --preset vectors trains"
            * flat
        )
    if images.ndim == 4:
        return np.moveaxis(images, 1, 3) if _is_channel_first(images.shape) else images
    count, height, width = images.shape
    if width <= 4 and height > width:  # not a plausible grey picture
        raise DataError(
            f"{name}: expected several images, got shape {images.shape}, which is one image of"
            f" {height}x{count} pixels (width x height) and {width} channels; add the axis of"
            " images: x[None] (or x[..., None], if they are narrow grey images)"
        )
    if count in (3, 4) and min(height, width) >= 16:
        warnings.warn(
            f"{name}: reading shape {images.shape} as {count} grey images of {width}x{height}"
            " pixels (width x height); if it is one image, add the axis of images: x[None]",
            DataWarning,
            stacklevel=4,
        )
    return images[..., None]


def _is_channel_first(shape: tuple[int, ...]) -> bool:
    """Whether the channels are the second of four axes rather than the last."""
    usual = [shape[axis] in (1, 3, 4) for axis in (1, 3)]
    return usual[0] if usual[0] != usual[1] else shape[1] < shape[3]


def _known_range(
    dtype: np.dtype[Any], value_range: tuple[float, float] | None, name: str
) -> tuple[float, float] | None:
    """The range to scale by, or None for values that are already 8-bit."""
    if value_range is None:
        if dtype in (np.uint8, np.bool_):
            return None
        if dtype.kind == "f":
            return (0.0, 1.0)
        raise DataError(
            f"{name}: expected uint8 or floats in [0, 1], got {dtype};"
            " say the range with data.value_range=[0, 255] or save the array as uint8"
        )
    low, high = float(value_range[0]), float(value_range[1])
    if not (np.isfinite([low, high]).all() and low < high):
        raise DataError(
            f"{name}: expected data.value_range=[low, high] with low < high,"
            f" got [{low:g}, {high:g}]; swap or correct them"
        )
    return None if dtype == np.uint8 and (low, high) == (0.0, 255.0) else (low, high)
