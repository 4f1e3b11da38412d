"""Recordings of equal length in one array, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.audio_clips import Clip, Clips
from vocabula.data.content import content_of_array
from vocabula.errors import DataError

_SCALES = {"int16": 2**15, "int32": 2**31}
"""Full scale of whole numbers."""


class ArrayClip(Clip):
    """One recording (channels, time) of an array.

    Args:
        samples: floating point at full scale 1, or whole numbers at that of their type.
        rate: samples per second.
    """

    seeks = True

    def __init__(self, samples: NDArray[Any], rate: int) -> None:
        self._samples, self.rate = samples, rate
        self.channels, self.frames = samples.shape
        self.at = 0

    def seek(self, frame: int) -> None:
        """See `Clip.seek`."""
        self.at = frame

    def read(self, count: int) -> NDArray[np.float32]:
        """See `Clip.read`."""
        part = self._samples[:, self.at : self.at + count]
        self.at += part.shape[1]
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            found = np.array(part.T, np.float32, order="C")
        scale = _SCALES.get(self._samples.dtype.newbyteorder("=").name)
        return found / np.float32(scale) if scale else found


class ArrayClips(Clips):
    """Recordings (N, time) or (N, channels, time) at one rate.

    Args:
        array: float16, float32, float64, or whole numbers of 16 or 32 bits.
        rate: samples per second.
        name: what messages call the array.
        paths: where the recordings came from; None numbers them.

    Raises:
        DataError: another type or number of axes, or an empty array.
    """

    def __init__(
        self, array: NDArray[Any], rate: int, *, name: str, paths: Sequence[str] | None = None
    ) -> None:
        numbers = array.dtype.char in "efd" or array.dtype.newbyteorder("=").name in _SCALES
        if array.ndim not in (2, 3) or not numbers or 0 in array.shape:
            raise DataError(
                f"{name}: expected recordings (N, time) or (N, channels, time) of floats or 16-bit "
                f"numbers, got {array.dtype} of shape {array.shape}; reshape or convert them"
            )
        self._array = array if array.ndim == 3 else array[:, None]
        self._rate, self._name, self._paths = rate, name, paths

    def __len__(self) -> int:
        """The number of recordings N."""
        return len(self._array)

    def path(self, index: int) -> str:
        """The name given, or the number in brackets."""
        return f"[{index}]" if self._paths is None else self._paths[index]

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        return nullcontext(ArrayClip(self._array[index], self._rate))

    def content(self) -> str:
        """Hash of type, shape and values; see `content_of_array`."""
        return content_of_array(self._array)
