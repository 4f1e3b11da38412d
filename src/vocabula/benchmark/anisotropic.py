"""Vectors whose directions are unequal: a strong common mean, unequal scales, long tails.

Each generator gives float32 vectors that its seed and sizes determine, and says what it imitates.
Only numpy is imported, as in `inputs`.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.benchmark.inputs import Floats, normal


def unit_cone(rows: int, dim: int, seed: int, cosine: float = 0.56) -> Floats:
    """Unit vectors (rows, dim) in a narrow cone, such as CLIP's embeddings of images.

    Normal vectors whose i-th variance is proportional to 1 / i, plus a common mean, scaled to norm
    1. The cosine of two of them is `cosine` on average.

    Source: Liang et al. 2022, "Mind the Gap", section 2.2: 0.56 for CLIP's images.
    """
    scales = np.arange(1, dim + 1) ** -0.5
    scales *= ((1 / cosine - 1) / np.square(scales).sum()) ** 0.5
    axes = np.linalg.qr(normal(dim, dim, seed + 1).astype(np.float64))[0]
    x = axes[:, -1] + (normal(rows, dim, seed) * scales) @ axes.T
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def speech_frames(clips: int, frames: int, dim: int, seed: int) -> Floats:
    """Frames (clips, frames, dim) such as cepstra of speech: correlated, each scale its own.

    Standard deviations fall from 100 to 0.1 in geometric steps, as from a cepstrum's energy to its
    last coefficient, and means are three times as large, of both signs. A frame's correlation with
    the one before is 0.95; half of the variance is that of the clip (the speaker, the channel).
    """
    noise = normal(clips * frames, dim, seed).reshape(clips, frames, dim)
    course = np.empty((clips, frames, dim))
    course[:, 0] = noise[:, 0]
    for t in range(1, frames):
        course[:, t] = 0.95 * course[:, t - 1] + (1 - 0.95**2) ** 0.5 * noise[:, t]
    clip = normal(clips, dim, seed + 1)[:, None]
    scale = np.geomspace(100, 0.1, dim)
    mean = 3 * scale * (-1.0) ** np.arange(dim)
    return ((course + clip) * 0.5**0.5 * scale + mean).astype(np.float32)


def items(rows: int, dim: int, clusters: int, seed: int) -> Floats:
    """Item vectors (rows, dim) of a recommender: a strong mean, and clusters with a long tail.

    The mean has norm 10, the clusters' centres lie at distance 1 from it and their members at 0.1.
    The n-th largest cluster's share is proportional to 1 / n (Zipf's law).
    """
    share = 1 / np.arange(1, clusters + 1)
    chosen = np.random.default_rng([seed, rows]).choice(clusters, rows, p=share / share.sum())
    centres, members = normal(clusters, dim, seed + 1), normal(rows, dim, seed)
    mean = normal(1, dim, seed + 2)
    mean *= 10 / np.linalg.norm(mean)
    return (mean + (centres[chosen] + 0.1 * members) / dim**0.5).astype(np.float32)


def log_mel(folder: Path, bands: int = 40) -> Floats:
    """Log-mel frames (frames, bands) of the 16-bit WAV files in a folder, in the names' order.

    Frames of 25 ms every 10 ms under a Hann window; triangular bands at equal distances of
    2595 log10(1 + f / 700) up to half the rate; the natural logarithm of 1e-6 plus the power.
    """
    return np.concatenate([_frames(path, bands) for path in sorted(folder.glob("*.wav"))])


def _frames(path: Path, bands: int) -> Floats:
    with wave.open(str(path)) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    samples = np.frombuffer(data, "<i2") / 2**15
    width, hop = rate // 40, rate // 100
    samples = np.pad(samples, (0, max(0, width - len(samples))))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, width)[::hop]
    power = np.square(np.abs(np.fft.rfft(pieces * np.hanning(width))))
    return np.log(1e-6 + power @ _bands(rate, power.shape[1], bands).T).astype(np.float32)


def _bands(rate: int, bins: int, bands: int) -> NDArray[np.float64]:
    """Triangular filters (bands, bins)."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz = np.linspace(0, rate / 2, bins)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return np.maximum(0, np.minimum(rising, falling))
