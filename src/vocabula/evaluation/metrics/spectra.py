"""Distances between the spectra of recordings, summed frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
FRAMES = 2**12
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
        total = frame_count(x.shape[1], self.hop)
        for first in range(0, total, FRAMES):
            yield self.between(x, 0, first, min(total, first + FRAMES))

    def between(self, x: Tensor, start: int, first: int, after: int) -> Tensor:
        """Magnitudes (B, W // 2 + 1, after - first) of some frames of signals; see `frames`.

        Args:
            x: (B, n), the samples of the signals from `start` on that there are.
            start: the number of the first one.
            first: number of the first frame.
            after: the frame after the last one.
        """
        size = len(self.window)
        begin, end = first * self.hop - size // 2, (after - 1) * self.hop - size // 2 + size
        piece = x[:, max(0, begin - start) : end - start].double()
        window, before = self.window.to(x.device), max(0, start - begin)
        return magnitudes(piece, window, self.hop, before=before, frames=after - first)

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
        with self.following() as add:
            add(output, signals)

    @contextmanager
    def following(self) -> Iterator[Callable[[Tensor, Tensor], None]]:
        """Take in recordings in parts: yields `add` for parts that follow one another."""
        pending = [_Pending(one) for one in self._resolutions]

        def take(number: int, *, ends: bool) -> None:
            one = self._resolutions[number]
            for found, wanted in pending[number].take(ends=ends):
                apart = (one.decibels(found) - one.decibels(wanted)).abs()
                self._apart[number] += float(apart.sum())
                self._values[number] += apart.numel()
                self._error += float((found - wanted).square().sum())
                self._energy += float(wanted.square().sum())

        def add(output: Tensor, signals: Tensor) -> None:
            self._heard = self._heard or bool(signals.any())
            pair = torch.stack([x.flatten(0, 1) for x in (output, signals)])
            for number, one in enumerate(pending):
                one.add(pair)
                take(number, ends=False)

        yield add
        for number in range(len(pending)):
            take(number, ends=True)

    @property
    def log_mel(self) -> float:
        """The mean absolute difference of mel bands, dB, mean over the windows."""
        means = [a / max(n, 1) for a, n in zip(self._apart, self._values, strict=True)]
        return sum(means) / len(means)

    @property
    def convergence(self) -> float | None:
        """|found - wanted| / |wanted| of all magnitudes; None for silence."""
        return (self._error / self._energy) ** 0.5 if self._heard else None


class _Pending:
    """Pairs of recordings, as far as their frames are still to be compared.

    Args:
        resolution: of the frames.
    """

    def __init__(self, resolution: Resolution) -> None:
        self._resolution = resolution
        self._held: Tensor | None = None
        self._start = self._first = 0

    def add(self, pair: Tensor) -> None:
        """Take in further samples (2, B, n)."""
        self._held = pair if self._held is None else torch.cat([self._held, pair], 2)

    def take(self, *, ends: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """The frames of both, `FRAMES` at a time; at the end also the last, perhaps fewer."""
        one = self._resolution
        while self._held is not None:
            reach = self._start + self._held.shape[2]
            after = self._first + FRAMES
            if ends:
                after = min(after, frame_count(reach, one.hop))
            elif (after - 1) * one.hop + len(one.window) > reach:
                break
            if after <= self._first:
                break
            found, wanted = (one.between(x, self._start, self._first, after) for x in self._held)
            yield found, wanted
            keep = max(self._start, after * one.hop - len(one.window) // 2)
            self._held = self._held[:, :, keep - self._start :]
            self._start, self._first = keep, after
        if self._held is not None:
            self._held = self._held.clone()  # a view would keep all that was compared


class ScaleInvariantRatio:
    """SI-SDR of recordings in parts, from sums in float64.

    ::

        a = <y, x> / <x, x>        10 log10(|a x|^2 / |a x - y|^2)

    With e = y - x, |a x - y|^2 is <e, e> - <e, x>^2 / <x, x>.

    Source: Le Roux, Wisdom, Erdogan and Hershey 2019, "SDR - half-baked or well done?", without
    taking away the mean first.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Take in y and x (B, C, n), parts that follow one another."""
        x = signals.flatten(1).double()
        error = output.flatten(1).double() - x
        sums = torch.stack([x.square().sum(1), (error * x).sum(1), error.square().sum(1)])
        self._sums = sums if self._sums is None else self._sums + sums

    @property
    def decibels(self) -> Tensor:
        """(B,) float64 in [-100, 100]; NaN for a silent original."""
        assert self._sums is not None, "there is a part"
        energy, cross, squares = self._sums
        wanted = (energy + cross).square() / energy
        wrong = (squares - cross.square() / energy).clamp_min(0)
        ratio = 10 * (wanted / wrong).log10()
        exact = torch.where(wrong == 0, torch.where(wanted > 0, 100.0, -100.0), ratio)
        return torch.where(energy > 0, exact.clamp(-100, 100), torch.nan)


def scale_invariant_ratio(output: Tensor, signals: Tensor) -> Tensor:
    """SI-SDR (B,) of recordings, reconstructions and originals (B, C, T)."""
    ratio = ScaleInvariantRatio()
    for pair in zip(*(x.split(SAMPLES, 2) for x in (output, signals)), strict=True):
        ratio.add(*pair)
    return ratio.decibels
