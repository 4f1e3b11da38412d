"""How close reconstructed recordings are: spectra, waves, and how well speech is understood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from vocabula.errors import plural
from vocabula.evaluation.metrics.base import Fidelity, Figures, Row, Tile, in_form
from vocabula.evaluation.metrics.intelligibility import INSTALL, Intelligibility
from vocabula.evaluation.metrics.spectra import (
    SAMPLES,
    SECONDS,
    ScaleInvariantRatio,
    SpectralDistance,
)
from vocabula.evaluation.metrics.squared_errors import Spread
from vocabula.signals import Signal


class AudioFidelity(Fidelity):
    """Log-mel distance, STOI, SI-SDR and squared error of recordings (B, C, T).

    Batches come without padding, so every sample counts.

    Args:
        sample_rate: in Hz.
    """

    columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("log_mel_distance", "log-mel distance, dB", ".2f"),
        ("stoi", "STOI", ".3f"),
        ("si_sdr", "SI-SDR, dB", ".2f"),
    )
    least_is_best: ClassVar[bool] = True

    def __init__(self, sample_rate: int) -> None:
        self._spread, self._spectra = Spread(), SpectralDistance(sample_rate)
        self._understood = Intelligibility(sample_rate)
        self._ratios, self._recordings = 0.0, 0

    @classmethod
    def measuring(cls, signal: Signal) -> AudioFidelity:
        """New figures at the signal's sample rate."""
        assert signal.sample_rate is not None, "the kind of signal chose these figures"
        return cls(signal.sample_rate)

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions (B, C, T)."""
        with self.following(signals.shape[2]) as add:
            add(output, signals)

    @contextmanager
    def following(self, length: int) -> Iterator[Callable[[Tensor, Tensor], None]]:
        """See `Fidelity.following`: memory does not depend on the length."""
        ratio = ScaleInvariantRatio()
        with self._spectra.following() as compare, self._understood.following(length) as listen:

            def add(output: Tensor, signals: Tensor) -> None:
                for pair in zip(*(x.split(SAMPLES, 2) for x in (output, signals)), strict=True):
                    self._spread.add(*pair)
                    ratio.add(*pair)
                compare(output, signals)
                listen(output, signals)

            yield add
        ratios = ratio.decibels
        known = ~torch.isnan(ratios)
        self._ratios += float(ratios[known].sum())
        self._recordings += int(known.sum())

    def figures(self) -> Figures:
        """Figures of recordings.

        - ``log_mel_distance``: mean absolute difference of mel bands, dB, over windows of 12, 30
          and 75 ms; nothing below -80 dB of full scale counts;
        - ``spectral_convergence``: error of the magnitudes over the magnitudes; None for silence;
        - ``stoi``: intelligibility of speech, at most 1; None without pystoi or enough speech;
        - ``stoi_excluded``: recordings that it leaves out; None without pystoi;
        - ``si_sdr``: mean over recordings that are not silent, dB; None if all are;
        - ``mse``, ``mse_over_variance``: squared error of the samples.
        """
        spread, error = self._spread, self._spread.mse
        understood = self._understood
        stoi = understood.mean
        return {
            "mse": error,
            "mse_over_variance": error / spread.variance if spread.variance > 0 else None,
            "log_mel_distance": self._spectra.log_mel,
            "spectral_convergence": self._spectra.convergence,
            "si_sdr": self._ratios / self._recordings if self._recordings else None,
            "stoi": stoi,
            "stoi_excluded": understood.excluded if understood.available else None,
        }

    @classmethod
    def rows(cls, figures: Figures) -> list[Row]:
        """The errors to show."""
        windows = ", ".join(f"{1000 * seconds:g}" for seconds in SECONDS)
        excluded = figures["stoi_excluded"]
        if excluded is None:
            stoi = f"not measured: {INSTALL}"
        else:
            left_out = f"; {plural(int(excluded), 'recording')} left out" if excluded else ""
            stoi = f"intelligibility of speech, recordings joined{left_out}"
        return [
            Row(
                "log-mel distance",
                f"{figures['log_mel_distance']:.3f} dB",
                f"mean over mel bands, windows of {windows} ms, floor -80 dB",
            ),
            Row("STOI", in_form(figures["stoi"], ".4f"), stoi),
            Row("SI-SDR", in_form(figures["si_sdr"], ".2f"), "dB, mean over recordings"),
            Row(
                "spectral convergence",
                in_form(figures["spectral_convergence"], ".4f"),
                "error of magnitudes over magnitudes",
            ),
            Row("MSE", in_form(figures["mse"], ".6g"), "over all samples, full scale is 1"),
            Row(
                "MSE / variance",
                in_form(figures["mse_over_variance"], ".4f"),
                "about the mean of each channel",
            ),
        ]

    @classmethod
    def tiles(cls, figures: Figures) -> list[Tile]:
        """Log-mel distance and, where it is measured, STOI."""
        first = Tile("log-mel distance", f"{figures['log_mel_distance']:.2f}", "dB")
        stoi = figures["stoi"]
        return [first] if stoi is None else [first, Tile("STOI", f"{stoi:.3f}")]
