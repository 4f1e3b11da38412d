"""Figures of recordings, against hand arithmetic and pystoi."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.sounds import tokenizer_of
from torch import Tensor

from vocabula.data.audio_opening import open_audio
from vocabula.evaluation import evaluate
from vocabula.evaluation.metrics import METRICS, audio, intelligibility, spectra
from vocabula.evaluation.metrics.audio import AudioFidelity
from vocabula.evaluation.metrics.intelligibility import Intelligibility
from vocabula.evaluation.metrics.spectra import (
    Resolution,
    SpectralDistance,
    scale_invariant_ratio,
)
from vocabula.signals import Audio, Vector

RATE = 8000


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def speech(seconds: float, seed: int = 0) -> Tensor:
    """Noise whose loudness rises and falls four times a second, as syllables do."""
    time = torch.arange(int(seconds * RATE)) / RATE
    return noise(1, 1, len(time), seed=seed) * (1.1 + torch.sin(2 * math.pi * 4 * time))


def test_half_the_amplitude_is_six_decibels_in_every_band() -> None:
    x = noise(2, 1, 4000)
    found = SpectralDistance(RATE)
    found.add(x / 2, x)
    assert found.log_mel == pytest.approx(20 * math.log10(2), abs=0.02)  # floor and silence
    assert found.convergence == pytest.approx(0.5, abs=1e-6)
    same = SpectralDistance(RATE)
    same.add(x, x)
    assert (same.log_mel, same.convergence) == (0.0, 0.0)


def test_below_the_floor_nothing_is_heard() -> None:
    found = SpectralDistance(RATE)
    found.add(torch.zeros(1, 1, 1000), 1e-5 * noise(1, 1, 1000))
    assert found.log_mel == 0.0
    silent = SpectralDistance(RATE)
    silent.add(torch.zeros(1, 1, 5), torch.zeros(1, 1, 5))
    assert silent.convergence is None


def test_the_spectrum_of_a_tone_in_float64() -> None:
    """Frame k as the discrete Fourier transform writes it, of a window of 96 samples."""
    x = torch.sin(2 * math.pi * 1000 / RATE * torch.arange(900)).double()[None]
    one = Resolution.of(RATE, 0.012, 20)
    (found,) = one.frames(x)
    assert found.shape == (1, 49, math.ceil(900 / 24)) and one.filters.shape == (20, 49)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(96) / 96)
    for k in (0, 7, 37):
        padded = np.concatenate([np.zeros(48), x[0].numpy(), np.zeros(96)])
        frame = padded[24 * k : 24 * k + 96] * window
        wanted = np.abs(np.fft.rfft(frame)) * 2 / window.sum()
        assert found[0, :, k].numpy() == pytest.approx(wanted, abs=1e-6)
    assert float(found[0, 12, 20]) == pytest.approx(1, abs=1e-3)  # 1000 Hz is bin 12 of 83.3 Hz


def test_long_recordings_are_measured_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = noise(1, 2, 3001), noise(1, 2, 3001, seed=1)
    whole = SpectralDistance(RATE)
    whole.add(y, x)
    monkeypatch.setattr("vocabula.evaluation.metrics.spectra.FRAMES", 7)
    pieces = SpectralDistance(RATE)
    pieces.add(y, x)
    assert pieces.log_mel == pytest.approx(whole.log_mel, rel=1e-9)
    assert pieces.convergence == pytest.approx(whole.convergence, rel=1e-9)


def test_sums_over_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = noise(2, 1, 1001, seed=1).double(), noise(2, 1, 1001, seed=2).double()
    part = (y * x).sum(2, keepdim=True) / x.square().sum(2, keepdim=True) * x
    wanted = 10 * (part.square().sum(2) / (part - y).square().sum(2)).log10()
    for module in (spectra, audio):
        monkeypatch.setattr(module, "SAMPLES", 100)
    torch.testing.assert_close(scale_invariant_ratio(y, x), wanted[:, 0], rtol=1e-12, atol=0)
    meter = AudioFidelity(RATE)
    meter.add(y, x)
    assert meter.figures()["mse"] == pytest.approx(float((y - x).square().mean()), rel=1e-12)


def test_si_sdr_of_known_errors() -> None:
    x = torch.zeros(4, 1, 4)
    x[:, 0, 0] = 2.0
    y = x.clone()
    y[1, 0, 1] = 0.2  # at a right angle: 20 log10(2 / 0.2) = 20 dB
    y[2] = -3 * x[2]  # any factor is free
    y[3] = 0
    assert scale_invariant_ratio(y, x).tolist() == pytest.approx([100, 20, 100, -100])
    assert torch.isnan(scale_invariant_ratio(y, torch.zeros(4, 1, 4))).all()


def test_stoi_is_that_of_the_joined_recordings() -> None:
    pystoi = pytest.importorskip("pystoi")
    x = speech(2.0)
    y = x + noise(*x.shape, seed=5)
    meter = Intelligibility(RATE)
    for first in range(0, 16000, 1600):  # a fifth of a second: too short alone
        meter.add(y[..., first : first + 1600], x[..., first : first + 1600])
    wanted = pystoi.stoi(x[0, 0].double().numpy(), y[0, 0].double().numpy(), RATE)
    assert meter.mean == pytest.approx(wanted, abs=1e-9)
    assert 0.3 < wanted < 0.99 and meter.excluded == 0


def test_silent_recordings_are_left_out_and_counted() -> None:
    pytest.importorskip("pystoi")
    meter = Intelligibility(RATE)
    meter.add(torch.zeros(3, 1, 800), torch.zeros(3, 1, 800))
    assert (meter.mean, meter.excluded) == (None, 3)
    meter.add(*[speech(0.05)] * 2)  # not silent, and too short
    assert (meter.mean, meter.excluded) == (None, 4)
    meter.add(*[speech(1.0)] * 2)
    assert meter.mean == pytest.approx(1, abs=1e-6)


def test_passages_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pystoi")
    monkeypatch.setattr(intelligibility, "SECONDS", 1)
    meter = Intelligibility(RATE)
    for seed in range(5):
        x = speech(0.7, seed)
        meter.add(x, x)
        assert meter._length < 2 * RATE
    assert meter.mean == pytest.approx(1, abs=1e-6)


def test_a_long_recording_is_cut_to_equal_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    pystoi = pytest.importorskip("pystoi")
    monkeypatch.setattr(intelligibility, "SECONDS", 1)
    monkeypatch.setattr(intelligibility, "MOST_SECONDS", 2)
    x = speech(3.0)
    y = x + noise(*x.shape, seed=5)
    meter = Intelligibility(RATE)
    meter.add(y, x)
    halves = [(a[0, 0].double().numpy(), b[0, 0].double().numpy()) for a, b in both(x, y)]
    wanted = [float(pystoi.stoi(*half, RATE)) for half in halves]
    assert meter.mean == pytest.approx(sum(wanted) / 2, abs=1e-9)
    assert abs(wanted[0] - wanted[1]) > 1e-4


def both(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The halves of two sounds."""
    return [*zip(x.chunk(2, 2), y.chunk(2, 2), strict=True)]


def test_silence_within_a_long_recording_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pystoi")
    monkeypatch.setattr(intelligibility, "MOST_SECONDS", 1)
    x = torch.cat([speech(1.0), torch.zeros(1, 1, RATE)], 2)
    meter = Intelligibility(RATE)
    meter.add(x, x)
    assert meter.mean == pytest.approx(1, abs=1e-6)
    assert (meter.excluded, meter._weight) == (0, RATE)


def test_without_pystoi_the_row_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intelligibility.util, "find_spec", lambda name: None)
    meter = AudioFidelity(RATE)
    x = noise(1, 1, 900)
    meter.add(x, x)
    figures = meter.figures()
    assert figures["stoi"] is None and figures["stoi_excluded"] is None
    row = next(row for row in meter.rows(figures) if row.name == "STOI")
    assert (row.value, row.meaning) == ("-", "not measured: pip install pystoi")
    assert [tile.label for tile in meter.tiles(figures)] == ["log-mel distance"]


def test_figures_of_recordings() -> None:
    signal = Audio(RATE)
    meter = METRICS.of("audio").measuring(signal)
    assert isinstance(meter, AudioFidelity)
    for length in (1, 5, 900):
        x = noise(1, 1, length, seed=length)
        meter.add(x / 2, x)
    meter.add(torch.zeros(1, 1, 9), torch.zeros(1, 1, 9))
    figures = meter.figures()
    assert figures["si_sdr"] == 100  # of the three that are not silent
    assert figures["mse"] == pytest.approx(
        sum(float(noise(1, 1, n, seed=n).square().sum()) for n in (1, 5, 900)) / 4 / 915
    )
    assert {name for name, _, _ in meter.columns} <= set(figures)
    assert len(meter.rows(figures)) == 6
    assert METRICS.of("vector").measuring(Vector(3)).figures  # others take no settings


def test_padding_never_counts(tmp_path: Path) -> None:
    """Recordings of several lengths come padded; each is measured as if alone."""
    lengths = (300, 41, 411, 1)
    for number, length in enumerate(lengths):
        wave = 5 * noise(1, 1, length, seed=number)[0, 0].numpy()
        soundfile.write(tmp_path / f"{number}.wav", wave, 1000, subtype="FLOAT")
    source, tokenizer = open_audio(tmp_path, sample_rate=1000), tokenizer_of("seanet-even")
    meter = AudioFidelity(1000)
    for number, length in enumerate(lengths):
        x = 5 * noise(1, 1, length, seed=number)
        meter.add(tokenizer.reconstruct(x), x)
    wanted = {key: value for key, value in meter.figures().items() if value is not None}
    found = evaluate(tokenizer, source).fidelity
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-7)
