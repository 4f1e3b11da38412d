"""The losses of sound against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from sounds import noise
from vocabula.functional.mel import frame_count, magnitudes, mel_filters
from vocabula.tokenizers import MuLaw, Spectral
from vocabula.tokenizers.mulaw import from_mulaw, to_mulaw


def test_a_sine_of_amplitude_1_has_magnitude_1() -> None:
    x = torch.sin(2 * torch.pi * 8 / 64 * torch.arange(640))[None]
    found = magnitudes(x, torch.hann_window(64), 16, before=0)
    assert found.shape == (1, 33, 40)
    torch.testing.assert_close(found[0, 8, :36], torch.ones(36), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, [7, 9], :36], torch.full((2, 36), 0.5), atol=1e-4, rtol=0)


def test_spectra_are_those_of_a_discrete_fourier_transform_in_float64() -> None:
    x = noise(1, 50)[:, 0]
    found = magnitudes(x, torch.hann_window(16), 5, before=8)[0]
    around = torch.cat([torch.zeros(8), x[0], torch.zeros(16)]).double()
    for frame in range(frame_count(50, 5)):
        part = around[5 * frame : 5 * frame + 16] * torch.hann_window(16, dtype=torch.float64)
        wanted = torch.fft.rfft(part).abs() / 4  # the window's sum is 8
        torch.testing.assert_close(found[:, frame].double(), wanted, atol=1e-6, rtol=1e-5)


def test_mel_filters_cover_every_frequency_and_none_is_empty() -> None:
    for window, bands in ((64, 8), (512, 80), (16, 20)):
        filters = mel_filters(8000, window, bands)
        torch.testing.assert_close(filters.sum(1), torch.ones(bands))
        assert (filters >= 0).all()
        assert (filters.sum(0)[1:-1] > 0).all()
    # HTK's scale: 1000 Hz is 1000 mel
    centres = (mel_filters(8000, 4096, 20) * torch.linspace(0, 4000, 2049)).sum(1)
    assert 2595 * math.log10(1 + float(centres[9]) / 700) == pytest.approx(10 * 2146.06 / 21, 0.01)


def test_half_the_loudness_is_a_distance_of_ln_2_in_every_window() -> None:
    x = noise(2, 400)
    for windows in ((16,), (32, 64)):
        loss = Spectral(windows=windows, wave_weight=0.0).loss(x / 2, x)
        assert float(loss) == pytest.approx(math.log(2), abs=1e-3)
    assert float(Spectral(windows=(16,), mel_weight=0.0, wave_weight=3.0).loss(x / 2, x)) == (
        pytest.approx(1.5 * float(x.abs().mean()), rel=1e-5)
    )


def test_the_loudness_of_a_recording_counts_as_much_as_asked() -> None:
    x = noise(2, 400)
    options = {"windows": (16, 32), "wave_weight": 0.0}
    for weight in (0.2, 1.0):
        loss = Spectral(**options, level_weight=weight).loss(x / 2, x)
        assert float(loss) == pytest.approx(weight * math.log(2), abs=1e-3)
    # one half softer by ln 2, the other by ln 4: 1.5 ln 2 on average, and 0.5 ln 2 around it
    softer = torch.cat([x[..., :200] / 2, x[..., 200:] / 4], -1)
    loss = Spectral(windows=(8,), wave_weight=0.0, level_weight=0.2).loss(softer, x)
    assert float(loss) == pytest.approx((0.5 + 0.2 * 1.5) * math.log(2), rel=0.02)
    mask = torch.arange(400) < torch.tensor([400, 120])[:, None]
    spectral = Spectral(**options, level_weight=0.2)
    parts = [spectral.loss(softer[:1], x[:1]), spectral.loss(softer[1:, :, :120], x[1:, :, :120])]
    whole = (400 * float(parts[0]) + 120 * float(parts[1])) / 520
    assert float(spectral.loss(softer, x, mask)) == pytest.approx(whole, rel=1e-5)


def test_silence_against_silence_is_no_distance_and_below_the_floor_all_is_silent() -> None:
    spectral = Spectral(windows=(16,))
    zero = torch.zeros(1, 1, 40)
    assert float(spectral.loss(zero, zero)) == 0
    assert float(Spectral(windows=(16,), wave_weight=0.0).loss(zero + 1e-6, zero)) == 0
    assert math.isnan(float(spectral.bits_per_dim(zero, zero)))
    assert not spectral.probabilistic


@pytest.mark.parametrize("channels", [1, 2])
def test_padding_is_silent_and_not_counted(channels: int) -> None:
    spectral = Spectral(windows=(8, 32))
    x, y = noise(2, 60, channels=channels), noise(2, 60, channels=channels, seed=5)
    mask = torch.arange(60) < torch.tensor([60, 60])[:, None]
    torch.testing.assert_close(spectral.loss(y, x, mask), spectral.loss(y, x))
    mask = torch.arange(60) < torch.tensor([23, 23])[:, None]
    torch.testing.assert_close(spectral.loss(y, x, mask), spectral.loss(y[..., :23], x[..., :23]))
    assert float(spectral.loss(y, x, torch.zeros(2, 60, dtype=torch.bool))) == 0
    assert float(spectral.loss(y[:0], x[:0])) == 0


def test_mulaw_levels_are_those_of_the_formula() -> None:
    # f(1/255) = ln 2 / ln 256 = 1/8, so k = round(255 * 1.125 / 2) = round(143.4)
    x = torch.tensor([-2.0, -1.0, -1 / 255, 1 / 255, 1.0, 7.0])
    assert to_mulaw(x).tolist() == [0, 0, 112, 143, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(to_mulaw(from_mulaw(levels)), levels)
    assert float(from_mulaw(levels)[255]) == pytest.approx(1)


def test_mulaw_has_true_bits_per_sample() -> None:
    likelihood, x = MuLaw(), noise(2, 30, channels=2)
    assert likelihood.parameter_channels(2) == 512
    flat = torch.zeros(2, 512, 30)
    torch.testing.assert_close(likelihood.bits_per_dim(flat, x), torch.full((2,), 8.0))
    assert float(likelihood.loss(flat, x)) == pytest.approx(math.log(256), rel=1e-6)
    sure = 50.0 * one_hot(to_mulaw(x), 256).movedim(-1, 2).flatten(1, 2)
    assert float(likelihood.bits_per_dim(sure, x).max()) < 1e-6
    torch.testing.assert_close(likelihood.mean(sure), from_mulaw(to_mulaw(x)), atol=1e-5, rtol=0)
    # the probabilities of all levels sum to 1: so does the mean of e^(log p) over them, times 256
    logits = torch.randn(1, 256, 256)
    every = from_mulaw(torch.arange(256))[None, None]
    same = logits[:, :, :1].expand(-1, -1, 256)
    total = likelihood.log_prob(same, every).exp().sum()
    assert float(total) == pytest.approx(1, rel=1e-5)


def test_envelopes_are_the_correlation_over_time_of_a_band() -> None:
    windows, options = (64, 256), {"wave_weight": 0.0, "mel_weight": 0.0}
    spectral = Spectral(windows=windows, envelope_weight=2.0, **options)
    x, y = noise(2, 1000), noise(2, 1000, seed=5)
    rows = []  # 25.6 ms are 205 samples: the window of 256, a frame every 64
    for wave in (x, y):
        spectrum = magnitudes(wave[:, 0], torch.hann_window(256), 64, before=128)
        rows.append((mel_filters(8000, 256, 32) @ spectrum).double().numpy())
    wanted = [
        1 - np.corrcoef(rows[0][i, b], rows[1][i, b])[0, 1] for i in (0, 1) for b in range(32)
    ]
    assert float(spectral.loss(y, x)) == pytest.approx(2 * np.mean(wanted), rel=1e-4)
    # loudness is no difference, and a plain loss is added to
    assert float(spectral.loss(x / 2, x)) == pytest.approx(0, abs=1e-4)
    both = Spectral(windows=windows, envelope_weight=2.0).loss(y, x)
    assert float(both) == pytest.approx(
        float(Spectral(windows=windows).loss(y, x) + spectral.loss(y, x)), rel=1e-5
    )


def test_envelopes_of_padding_and_silence() -> None:
    spectral = Spectral(windows=(32,), wave_weight=0.0, mel_weight=0.0, envelope_weight=1.0)
    x, y = noise(3, 400), noise(3, 400, seed=5)
    mask = torch.arange(400) < torch.tensor([160, 160, 0])[:, None]
    whole = spectral.loss(y[:2, :, :160], x[:2, :, :160])
    torch.testing.assert_close(spectral.loss(y, x, mask), whole)
    zero = torch.zeros(1, 1, 400)
    assert float(spectral.loss(zero, zero)) == 0
    zero.requires_grad_()
    (gradient,) = torch.autograd.grad(spectral.loss(zero, x[:1]), zero)
    assert torch.isfinite(gradient).all()
