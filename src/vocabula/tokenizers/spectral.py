"""Spectral distance: the loss of sound, of the wave and of its log-mel spectra at many windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, MinLen
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional.mel import log_mel, magnitudes, mel_filters
from vocabula.registry import component
from vocabula.tokenizers.likelihood import Likelihood, full_precision, mean_over
from vocabula.tokenizers.masks import Blocks

_HEARD = 0.0256
"""Seconds of the windows of STOI."""


@component("likelihood", "spectral")
class Spectral(Likelihood):
    """L1 of the wave and of log-mel spectra: a distortion, which has no probabilities.

    ::

        loss = wave_weight mean|y - x| + mel_weight mean_W mean|ln max(M_W y, f) - ln max(M_W x, f)|
               + envelope_weight (1 - mean_b r(max(M_V y, f)_b, max(M_V x, f)_b))

    With `level_weight` v, the difference d of two log-mel spectra counts mean|d - m| + v |m|, where
    m is its mean over a recording: how loud the recording is as a whole counts v, not 1.

    r is the correlation over time of a band's magnitudes, which intelligibility depends on, and V
    the window nearest to 25.6 ms. Bands that hardly change count as equal.

    M_W are the magnitudes of the short-time spectrum with a window of W samples, a quarter of it
    apart, in mel bands; a sine of amplitude 1 has magnitude 1. f is the floor. Means are over the
    samples, and the frames whose middle is, inside a signal: padding is silent and not counted.

    Args:
        windows: samples of each window.
        bands: mel bands of each; None: an eighth of the window, at least 5.
        wave_weight: of the L1 of the wave.
        mel_weight: of the L1 of the spectra.
        envelope_weight: of the correlation of bands over time. 0.3 raises STOI by 0.005 and leaves
            the distance of the spectra as it is (`speech-8k`).
        floor: magnitudes below it are silence.
        sample_rate: in Hz, of the recordings.
        level_weight: v, for codes that do not say how loud a recording is; None: spectra are
            compared as they are.

    Raises:
        OptionError: a window occurs twice, or `bands` has another length than `windows`.

    Shape:
        parameters (B, C, T), x (B, C, T).

    Example:
        >>> spectral = Spectral(windows=(64,), mel_weight=0.0, wave_weight=1.0)
        >>> spectral.loss(torch.zeros(1, 1, 100), torch.full((1, 1, 100), 0.5))
        tensor(0.5000)

    Source: Kumar et al. 2023, "High-Fidelity Audio Compression with Improved RVQGAN", section 3.4;
    without its adversary, and with magnitudes relative to full scale. The correlation is that of
    STOI (Taal et al. 2011, equation 5) in mel bands, over the whole signal, without clipping.
    """

    probabilistic: ClassVar[bool] = False
    added_options: ClassVar[tuple[str, ...]] = ("level_weight",)

    def __init__(
        self,
        *,
        windows: Annotated[Sequence[Annotated[int, Ge(4)]], MinLen(1)] = (64, 128, 256, 512, 1024),
        bands: Sequence[Annotated[int, Ge(1)]] | None = None,
        wave_weight: Annotated[float, Ge(0)] = 1.0,
        mel_weight: Annotated[float, Ge(0)] = 1.0,
        floor: Annotated[float, Gt(0)] = 1e-5,
        sample_rate: Annotated[int, Ge(1)] = 8000,
        envelope_weight: Annotated[float, Ge(0)] = 0.0,
        level_weight: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self.windows = tuple(windows)
        bands = [max(5, size // 8) for size in windows] if bands is None else bands
        if len(bands) != len(self.windows) or len(set(windows)) < len(windows):
            raise OptionError(
                f"likelihood spectral: expected different windows and a number of bands for each, "
                f"got windows {list(windows)} and bands {list(bands)}; leave bands out"
            )
        self.wave_weight, self.mel_weight, self.floor = wave_weight, mel_weight, floor
        self.sample_rate, self.envelope_weight = sample_rate, envelope_weight
        self.level_weight = level_weight
        self._heard = min(self.windows, key=lambda size: abs(size - _HEARD * sample_rate))
        for size, count in zip(self.windows, bands, strict=True):
            filters = mel_filters(sample_rate, size, count)
            self.register_buffer(f"filters{size}", filters, persistent=False)
            self.register_buffer(f"curve{size}", torch.hann_window(size), persistent=False)

    def parameter_channels(self, channels: int) -> int:
        """One sample per channel."""
        return channels

    def loss(self, parameters: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The distortion ()."""
        y, x = full_precision(parameters), x.float()
        if mask is not None:
            y, x = (torch.where(mask.unsqueeze(1), one, 0) for one in (y, x))
            samples = int(mask.sum()) * x.shape[1]
        else:
            samples = x.numel()
        loss = self.wave_weight * mean_over((y - x).abs().sum(), samples)
        wanted = self.windows if self.mel_weight else (self._heard,) * bool(self.envelope_weight)
        both = torch.cat([y, x]).flatten(0, 1).float()
        levels = {size: self._levels(both, size) for size in wanted}
        inside = {
            size: None if mask is None else mask[:, :: _hop(size)].repeat_interleave(x.shape[1], 0)
            for size in wanted
        }
        if self.mel_weight:
            weight = self.level_weight
            distances = [_distance(*levels[size], inside[size], weight) for size in wanted]
            loss = loss + self.mel_weight * torch.stack(distances).mean()
        if self.envelope_weight:
            one, two = (level.exp() for level in levels[self._heard])
            apart = _uncorrelated(one, two, inside[self._heard], self.floor**2)
            loss = loss + self.envelope_weight * apart
        return loss

    def loss_inside(self, parameters: Tensor, x: Tensor, blocks: Blocks) -> Tensor:
        """The distortion () of a padded batch; spectra see silence after every signal."""
        return self.loss(parameters, x, blocks.mask)

    def mean(self, parameters: Tensor) -> Tensor:
        """The wave (B, C, T)."""
        return full_precision(parameters)

    def _levels(self, both: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The log-mel spectra (B C, bands, frames) of two halves of a batch (2 B C, T)."""
        filters, curve = self.get_buffer(f"filters{size}"), self.get_buffer(f"curve{size}")
        spectrum = magnitudes(both, curve.float(), _hop(size), before=size // 2)
        one, two = log_mel(spectrum, filters, self.floor).chunk(2)
        return one, two


def _hop(size: int) -> int:
    return max(1, size // 4)


def _distance(one: Tensor, two: Tensor, inside: Tensor | None, weight: float | None) -> Tensor:
    """Mean absolute difference () of levels (N, bands, n) in the frames (N, n) that count.

    With a weight, the mean difference of each signal is taken out, and counts as much alone.
    """
    apart = one - two
    counts = one.new_ones(len(one), one.shape[-1]) if inside is None else inside.to(one.dtype)
    total = apart.numel() // apart.shape[1] if inside is None else int(inside.sum())
    if weight is None:
        return mean_over((apart.abs().mean(1) * counts).sum(), total)
    frames = counts.sum(1)
    mean = (apart.mean(1) * counts).sum(1) / frames.clamp_min(1)
    shape = (apart - mean[:, None, None]).abs().mean(1)
    return mean_over((shape * counts).sum() + weight * (mean.abs() * frames).sum(), total)


def _uncorrelated(one: Tensor, two: Tensor, inside: Tensor | None, least: float) -> Tensor:
    """1 minus the correlation () over time of bands (N, bands, n), a mean over frames and bands.

    Args:
        one: magnitudes.
        two: magnitudes.
        inside: (N, n) bool, frames that count; None: all.
        least: sums of squares far below it count as equal.
    """
    weight = one.new_ones(len(one), one.shape[-1]) if inside is None else inside.to(one.dtype)
    frames = weight.sum(1)
    weight = weight.unsqueeze(1)
    total = frames[:, None, None].clamp_min(1)
    one, two = ((x - (x * weight).sum(-1, keepdim=True) / total) * weight for x in (one, two))
    squares = (one.square().sum(-1) + least) * (two.square().sum(-1) + least)
    apart = 1 - ((one * two).sum(-1) + least) / squares.sqrt()
    return mean_over((apart.mean(1) * frames).sum(), int(frames.sum()))
