"""The made vectors have the mean, the scales and the tail that they claim."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from vocabula.benchmark import anisotropic as made


def test_unit_vectors_lie_in_a_cone() -> None:
    x = made.unit_cone(4000, 64, seed=0)
    assert x.dtype == np.float32 and x.shape == (4000, 64)
    assert np.linalg.norm(x, axis=1) == pytest.approx(1, abs=1e-5)
    # Of unit vectors the mean cosine of two is the squared norm of their mean.
    assert float(np.square(x.mean(0)).sum()) == pytest.approx(0.56, abs=0.03)
    assert np.array_equal(x, made.unit_cone(4000, 64, seed=0))
    assert not np.array_equal(x, made.unit_cone(4000, 64, seed=1))


def test_frames_have_scales_of_their_own_and_neighbours_alike() -> None:
    x = made.speech_frames(800, 20, 4, seed=0).astype(np.float64)
    rows = x.reshape(-1, 4)
    assert rows.std(0) == pytest.approx([100, 10, 1, 0.1], rel=0.05)
    assert rows.mean(0) / rows.std(0) == pytest.approx([3, -3, 3, -3], rel=0.1)
    centred = x - rows.mean(0)
    lag = (centred[:, 1:] * centred[:, :-1]).mean() / np.square(centred).mean()
    assert lag == pytest.approx(0.5 + 0.5 * 0.95, abs=0.01)


def test_items_have_a_mean_and_a_long_tail() -> None:
    x = made.items(6000, 32, 50, seed=0).astype(np.float64)
    assert np.linalg.norm(x.mean(0)) == pytest.approx(10, rel=0.1)
    centres = np.unique(np.round(x, 0), axis=0)
    assert len(centres) > 1
    # The largest cluster's share is 1 / H(50), the 50th harmonic number 4.499.
    near = np.linalg.norm(x[:, None] - x[None, :200], axis=2) < 0.5
    assert near.mean(0).max() == pytest.approx(1 / 4.499, abs=0.03)


def test_log_mel_of_a_tone_peaks_at_its_band(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = 16000 * np.sin(2 * np.pi * 1000 * np.arange(800) / 8000)
        file.writeframes(samples.astype("<i2").tobytes())
    x = made.log_mel(tmp_path, bands=10)
    assert x.shape == (8, 10)  # 1 + (800 - 200) // 80
    # Bands are centred at multiples of 2146 / 11 = 195.1 mel; 1,000 Hz is 1,000 mel, near the 5th.
    assert set(x.argmax(1).tolist()) == {4}
