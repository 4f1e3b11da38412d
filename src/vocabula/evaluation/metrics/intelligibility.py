"""STOI of recordings, which pystoi computes where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SECONDS = 20
"""Recordings are joined to passages of about this length, for STOI needs 0.4 s of speech."""
MOST_SECONDS = 180
"""Longer recordings are cut to equal passages: pystoi takes 340 bytes for a sample at 8 kHz."""
INSTALL = "pip install pystoi"
_TOO_SHORT = 1e-5  # what pystoi returns for a passage without 30 frames that are not silent


class Intelligibility:
    """Short-time objective intelligibility of many recordings, however short.

    Recordings are joined, in order, to passages of `SECONDS`, and those above `MOST_SECONDS` are
    cut; the figure is the mean over the passages, each counted by its samples. Silent originals are
    left out, as are passages with too little that is not silent. Channels are averaged.

    Args:
        sample_rate: in Hz.

    Attributes:
        available: whether pystoi is installed; without it nothing is measured.
        excluded: recordings, or passages of long ones, that were left out.

    Source: Taal, Hendriks, Heusdens and Jensen 2011, "An Algorithm for Intelligibility Prediction
    of Time-Frequency Weighted Noisy Speech".
    """

    def __init__(self, sample_rate: int) -> None:
        self.available = util.find_spec("pystoi") is not None
        self.excluded = 0
        self._rate = sample_rate
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._length = 0
        self._sum = self._weight = 0.0

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Take in reconstructions and originals (B, C, T)."""
        with self.following(signals.shape[2]) as add:
            add(output, signals)

    @contextmanager
    def following(self, length: int) -> Iterator[Callable[[Tensor, Tensor], None]]:
        """Take in recordings in parts: yields `add` for parts that follow one another.

        Args:
            length: samples of each recording.
        """
        count = max(1, -(-length // (MOST_SECONDS * self._rate)))
        passage = -(-length // count)
        held: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = []
        heard, reach = list[bool](), 0

        def finish() -> None:
            for pairs in held:
                self._take(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
                pairs.clear()

        def add(output: Tensor, signals: Tensor) -> None:
            nonlocal reach
            if not held:
                held.extend([] for _ in signals)
                heard.extend(False for _ in signals)
            heard[:] = [a or bool(x.any()) for a, x in zip(heard, signals, strict=True)]
            at = 0
            while at < signals.shape[2]:
                after = min(signals.shape[2], at + passage - reach % passage)
                for row, pairs in enumerate(held):
                    sides = (x[row, :, at:after].double().mean(0) for x in (signals, output))
                    wanted, found = (side.cpu().numpy() for side in sides)
                    pairs.append((wanted, found))
                reach, at = reach + after - at, after
                if reach % passage == 0 or reach == length:
                    finish()

        yield add if self.available else lambda output, signals: None
        self.excluded += heard.count(False)

    def _take(self, wanted: NDArray[np.float64], found: NDArray[np.float64]) -> None:
        """Take in a recording, or a passage of a long one."""
        if not wanted.any():
            return
        self._parts.append((wanted, found))
        self._length += len(wanted)
        if self._length >= 2 * SECONDS * self._rate:  # so that the last one is not short
            self._measure(SECONDS * self._rate)

    @property
    def mean(self) -> float | None:
        """STOI, at most 1; None if nothing could be measured."""
        if self._parts:
            self._measure(self._length)
        return self._sum / self._weight if self._weight else None

    def _measure(self, samples: int) -> None:
        """Measure the first recordings of together at least so many samples."""
        taken, length = 0, 0
        while length < samples:
            length += len(self._parts[taken][0])
            taken += 1
        wanted, found = (np.concatenate(side) for side in zip(*self._parts[:taken], strict=True))
        value = _stoi(wanted, found, self._rate)
        if value is None:
            self.excluded += taken
        else:
            self._sum += value * length
            self._weight += length
        self._parts, self._length = self._parts[taken:], self._length - length


def _stoi(wanted: NDArray[np.float64], found: NDArray[np.float64], rate: int) -> float | None:
    from pystoi import stoi  # type: ignore[import-untyped, unused-ignore]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            value = float(stoi(wanted, found, rate))
        except ValueError:  # fewer samples than a frame has
            return None
    return None if value == _TOO_SHORT or not np.isfinite(value) else value
