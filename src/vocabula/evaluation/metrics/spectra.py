"""Distances between the spectra of recordings, summed frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.functional.mel import frame_count, magnitudes, mel_filters

SECONDS = (0.012, 0.03, 0.075)
"""Windows: other than the powers of 2 that training compares."""
BANDS = (20, 40, 80)
"""Mel bands of each window."""
FLOOR = 1e-4
"""Magnitude that counts as silence: 80 dB below full scale."""
OVERLAP = 4
"""Windows that hold a sample."""
FRAMES = 2**14
"""Frames that are compared at a time: memory does not depend on the length of a recording."""
SAMPLES = 2**20
"""Samples of a recording that are compared at a time, for the same reason."""
_SMALLEST = 8


@dataclass(frozen=True)
class Resolution:
    """One short-time spectrum.

    Attributes:
        window: (W,) the samples of a Hann window.
        hop: samples between frames.
        filters: (bands, W // 2 + 1), the mel filters.
    """

    window: Tensor
    hop: int
    filters: Tensor

    @classmethod
    def of(cls, sample_rate: int, seconds: float, bands: int) -> Resolution:
        """A window of some seconds at a sample rate, with at most as many bands as frequencies."""
        size = max(_SMALLEST, 2 * round(seconds * sample_rate / 2))
        filters = mel_filters(sample_rate, size, min(bands, size // 2))
        window = torch.hann_window(size, dtype=torch.float64)
        return cls(window, max(1, size // OVERLAP), filters.double())

    def frames(self, x: Tensor) -> Iterator[Tensor]:
        """Magnitudes (B, W // 2 + 1, n), float64, of signals (B, T), some frames at a time.

        Frame k has its middle at sample k hop. Outside a signal is silence.
        """
        size, total = len(self.window), frame_count(x.shape[1], self.hop)
        window = self.window.to(x.device)
        for first in range(0, total, FRAMES):
            after = min(total, first + FRAMES)
            begin, end = first * self.hop - size // 2, (after - 1) * self.hop + size
            piece = x[:, max(0, begin) : end].double()
            found = magnitudes(piece, window, self.hop, before=max(0, -begin))
            yield found[:, :, : after - first]

    def decibels(self, spectrum: Tensor) -> Tensor:
        """Mel bands in dB, at least those of `FLOOR`."""
        bands = self.filters.to(spectrum.device) @ spectrum
        return 20 * bands.clamp_min(FLOOR).log10()


class SpectralDistance:
    """Sums of the distances between the spectra of recordings, in float64.

    Args:
        sample_rate: in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        pairs = zip(SECONDS, BANDS, strict=True)
        self._resolutions = [Resolution.of(sample_rate, *pair) for pair in pairs]
        self._apart = [0.0] * len(self._resolutions)
        self._values = [0] * len(self._resolutions)
        self._error = self._energy = 0.0
        self._heard = False

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Take in reconstructions and originals (B, C, T); each channel is a recording."""
        self._heard = self._heard or bool(signals.any())
        pairs = [x.flatten(0, 1) for x in (output, signals)]
        for number, one in enumerate(self._resolutions):
            for found, wanted in zip(*map(one.frames, pairs), strict=True):
                apart = (one.decibels(found) - one.decibels(wanted)).abs()
                self._apart[number] += float(apart.sum())
                self._values[number] += apart.numel()
                self._error += float((found - wanted).square().sum())
                self._energy += float(wanted.square().sum())

    @property
    def log_mel(self) -> float:
        """The mean absolute difference of mel bands, dB, mean over the windows."""
        means = [a / max(n, 1) for a, n in zip(self._apart, self._values, strict=True)]
        return sum(means) / len(means)

    @property
    def convergence(self) -> float | None:
        """|found - wanted| / |wanted| of all magnitudes; None for silence."""
        return (self._error / self._energy) ** 0.5 if self._heard else None


def scale_invariant_ratio(output: Tensor, signals: Tensor) -> Tensor:
    """SI-SDR of each recording, dB.

    ::

        a = <y, x> / <x, x>        10 log10(|a x|^2 / |a x - y|^2)

    Args:
        output: y (B, C, T).
        signals: x (B, C, T).

    Returns:
        (B,) float64 in [-100, 100]; NaN for a silent original.

    Source: Le Roux, Wisdom, Erdogan and Hershey 2019, "SDR - half-baked or well done?", without
    taking away the mean first.
    """
    parts = [x.flatten(1).split(SAMPLES, 1) for x in (output, signals)]
    pairs = [*zip(*parts, strict=True)]

    def total(of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return torch.stack([of(y.double(), x.double()).sum(1) for y, x in pairs]).sum(0)

    energy = total(lambda y, x: x.square())
    factor = total(lambda y, x: y * x) / energy
    wanted = total(lambda y, x: (factor[:, None] * x).square())
    wrong = total(lambda y, x: (factor[:, None] * x - y).square())
    ratio = 10 * (wanted / wrong).log10()
    exact = torch.where(wrong == 0, torch.where(wanted > 0, 100.0, -100.0), ratio)
    return torch.where(energy > 0, exact.clamp(-100, 100), torch.nan)
