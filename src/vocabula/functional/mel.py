"""Spectrograms of any length, and the mel scale: what a loss, a network and a figure share.

::

    frame k of a window of W samples begins at sample k hop - before; outside the signal is silence
    |X_k(f)| = | sum_n w_n x_n e^(-2 pi i f n / W) | / (sum_n w_n / 2)

so a sine of amplitude 1 has magnitude 1 at its frequency. A Hann window is used throughout.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from vocabula.functional.modes import without_autocast

_TINY = 1e-14
"""Added to a power: the gradient of a magnitude of 0 stays finite."""


Number = TypeVar("Number", float, Tensor)


def mel_of_hertz(hertz: Number) -> Number:
    """2595 log10(1 + f / 700).

    Source: O'Shaughnessy 1987, "Speech Communication".
    """
    if isinstance(hertz, Tensor):
        return 2595 * torch.log10(1 + hertz / 700)
    return 2595 * math.log10(1 + hertz / 700)


def hertz_of_mel(mel: Number) -> Number:
    """700 (10^(m / 2595) - 1): the inverse of `mel_of_hertz`."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_filters(sample_rate: int, window: int, bands: int) -> Tensor:
    """Triangular filters (bands, window // 2 + 1), evenly spaced on the mel scale; rows sum to 1.

    A filter reaches at least one step of frequency to each side of its centre, so that none
    is empty where the bands are closer than the frequencies of the window.

    Args:
        sample_rate: in Hz; the last filter ends at half of it.
        window: samples of the window.
        bands: number of filters.

    Example:
        >>> mel_filters(8000, 256, 20).shape
        torch.Size([20, 129])
    """
    step = sample_rate / window
    top = mel_of_hertz(sample_rate / 2)
    mels = torch.linspace(0, top, bands + 2, dtype=torch.float64)
    edges = hertz_of_mel(mels)
    centre = edges[1:-1, None]
    low = torch.minimum(edges[:-2, None], centre - step)
    high = torch.maximum(edges[2:, None], centre + step)
    frequencies = torch.arange(window // 2 + 1, dtype=torch.float64)[None] * step
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    filters = torch.minimum(rising, falling).clamp_min(0)
    return (filters / filters.sum(1, keepdim=True)).float()


def log_mel(spectrum: Tensor, filters: Tensor, floor: float) -> Tensor:
    """ln max(M s, floor) of magnitudes s, in float32 under autocast too.

    Args:
        spectrum: (..., window // 2 + 1, frames).
        filters: M, (bands, window // 2 + 1).
        floor: the least magnitude.

    Shape:
        -> (..., bands, frames).
    """
    with without_autocast(spectrum.device):
        return torch.matmul(filters.float(), spectrum).clamp_min(floor).log()


def frame_count(samples: int, hop: int) -> int:
    """How many frames begin a hop within a signal: ceil(samples / hop)."""
    return -(-samples // hop)


def magnitudes(
    x: Tensor, window: Tensor, hop: int, *, before: int, frames: int | None = None
) -> Tensor:
    """Magnitudes of the short-time spectrum.

    Args:
        x: signals (B, T).
        window: (W,) of the samples of a frame.
        hop: samples between frames.
        before: samples of silence before the signal.
        frames: how many; None: ceil(T / hop).

    Shape:
        (B, T) -> (B, W // 2 + 1, frames).
    """
    size = len(window)
    frames = frame_count(x.shape[1], hop) if frames is None else frames
    if not len(x):
        return x.new_zeros(0, size // 2 + 1, frames)
    after = (frames - 1) * hop + size - before - x.shape[1]
    x = pad(x, (before, after)) if after >= 0 else pad(x, (before, 0))[:, : after or None]
    found = torch.stft(x, size, hop, window=window, center=False, return_complex=True)
    power = found.real.square() + found.imag.square()
    return (power + _TINY).sqrt() * (2 / window.sum())
