"""A rival at our rate: the quality whose file is as large as ours, interpolated if needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.benchmark.rate.picture_codecs import PictureCodec
from vocabula.evaluation.metrics.similarity import mse, psnr, ssim


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How close a decoded picture is to its original.

    Attributes:
        psnr_db: PSNR over all its values.
        ssim: structural similarity, at most 1.
    """

    psnr_db: float
    ssim: float


def fidelity(output: NDArray[np.uint8], image: NDArray[np.uint8]) -> Fidelity:
    """How close a picture (H, W, C) is to another."""
    found, wanted = (
        torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].double() / 255
        for pixels in (output, image)
    )
    return Fidelity(float(psnr(mse(found, wanted))), float(ssim(found, wanted)))


def log_linear(rate: float, low: tuple[float, float], high: tuple[float, float]) -> float:
    """The value at a rate on the straight line through two points, rates on a logarithmic scale.

    Args:
        rate: above 0.
        low: (rate, value) of one point.
        high: (rate, value) of the other, at another rate.

    Example:
        >>> log_linear(2.0, (1.0, 30.0), (4.0, 36.0))
        33.0
    """
    share = math.log(rate / low[0]) / math.log(high[0] / low[0])
    return low[1] + share * (high[1] - low[1])


def on_curve(rate: float, points: Sequence[tuple[float, float]]) -> float | None:
    """The value of a curve at a rate, log-linear between its points.

    Args:
        rate: above 0.
        points: (rate, value), in the order of the qualities.

    Returns:
        None where every point has a higher rate; the last value where all have lower ones.
    """
    if points[-1][0] <= rate:
        return points[-1][1]
    for low, high in reversed(list(pairwise(points))):
        if low[0] <= rate < high[0]:
            return log_linear(rate, low, high)
    return None


class RivalPicture:
    """One picture as a rival's files; each quality is encoded and decoded once.

    Args:
        codec: the rival.
        pixels: (H, W, C) uint8.
    """

    def __init__(self, codec: PictureCodec, pixels: NDArray[np.uint8]) -> None:
        self._codec, self._pixels = codec, pixels
        self._files: dict[int, bytes] = {}
        self._found: dict[int, Fidelity] = {}

    def size(self, quality: int) -> int:
        """Size in bytes of the file at a quality."""
        if quality not in self._files:
            self._files[quality] = self._codec.encode(self._pixels, quality)
        return len(self._files[quality])

    def fidelity(self, quality: int) -> Fidelity:
        """How close the file at a quality comes to the picture."""
        if quality not in self._found:
            self._found[quality] = fidelity(self.pixels(quality), self._pixels)
        return self._found[quality]

    def pixels(self, quality: int) -> NDArray[np.uint8]:
        """The picture (H, W, C) that the file at a quality decodes to."""
        self.size(quality)
        return self._codec.decode(self._files[quality], self._pixels.shape[2])

    def fitting(self, size: int) -> int | None:
        """The highest quality whose file has at most `size` bytes; None where none has."""
        known = self._codec.qualities
        fitting = [quality for quality in known if self.size(quality) <= size]
        if not fitting:
            return None
        low = fitting[-1]
        high = known[min(known.index(low) + 1, len(known) - 1)]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.size(middle) <= size else (low, middle)
        return low

    def quality_for(self, size: int) -> int:
        """The highest quality whose file has at most `size` bytes, or the lowest of all."""
        fitting = self.fitting(size)
        return self._codec.qualities[0] if fitting is None else fitting

    def at(self, size: int) -> Fidelity | None:
        """The rival's fidelity at a file size.

        Bisection finds two neighbouring qualities, one of at most this size and one larger; the
        figures are interpolated on the logarithm of the bytes.

        Args:
            size: bytes of a whole file.

        Returns:
            None where all its files are larger; its best where all are smaller.
        """
        low = self.fitting(size)
        if low is None or low == self._codec.qualities[-1]:
            return None if low is None else self.fidelity(low)
        sides = (low, self.fidelity(low)), (low + 1, self.fidelity(low + 1))
        return Fidelity(
            *(
                log_linear(size, *((self.size(q), getattr(found, name)) for q, found in sides))
                for name in ("psnr_db", "ssim")
            )
        )
