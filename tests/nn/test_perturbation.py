"""Voice perturbation: where a formant goes, what is added, and when nothing changes."""

from __future__ import annotations

import math

import pytest
import torch

from sounds import noise
from vocabula.functional.mel import hertz_of_mel, mel_of_hertz
from vocabula.nn import MelEncoder
from vocabula.nn.perturbation import VoicePerturbation


def test_the_mel_scale_and_its_inverse() -> None:
    # HTK's scale: 700 Hz is 2595 log10(2) = 781.17 mel
    assert mel_of_hertz(700.0) == pytest.approx(781.17, abs=0.01)
    f = torch.tensor([0.0, 700.0, 3999.0], dtype=torch.float64)
    torch.testing.assert_close(hertz_of_mel(mel_of_hertz(f)), f)
    assert float(mel_of_hertz(f)[1]) == pytest.approx(mel_of_hertz(700.0))


def test_a_formant_moves_to_its_frequency_over_the_factor() -> None:
    warp = VoicePerturbation(400, 8000, 0.2, 0.0)
    for factor in (0.8, 1.0, 1.25):
        level = torch.exp(-(((warp.hertz - 1000) / 60) ** 2))[None, None, :, None]
        moved = warp.warped(level, torch.tensor([factor]))[0, 0, :, 0]
        assert float(warp.hertz[moved.argmax()]) == pytest.approx(1000 / factor, rel=0.01)
        assert float(moved.max()) == pytest.approx(1, abs=0.01)


def test_above_the_highest_band_is_its_level() -> None:
    warp = VoicePerturbation(5, 8000, 0.2, 0.0)
    level = torch.arange(5.0)[None, None, :, None].expand(1, 2, 5, 3)
    moved = warp.warped(level, torch.tensor([1.9]))
    assert torch.equal(moved[0, :, -1], torch.full((2, 3), 4.0))
    torch.testing.assert_close(warp.warped(level, torch.ones(1)), level)


def test_every_recording_has_its_own_factor_in_training_alone() -> None:
    torch.manual_seed(0)
    warp = VoicePerturbation(40, 8000, 0.15, 0.0)
    levels = warp.hertz.log()[None, None, :, None].expand(500, 1, 40, 2)
    assert warp.eval()(levels) is levels
    assert VoicePerturbation(40, 8000, 0.0, 0.0).train()(levels) is levels
    factor = (warp.train()(levels)[:, 0, 20] - levels[:, 0, 20]).exp()
    assert torch.equal(factor[:, 0], factor[:, 1])
    assert 0.849 < float(factor.min()) < 0.86 and 1.14 < float(factor.max()) < 1.151
    assert float(factor.mean()) == pytest.approx(1, abs=0.02)


def test_the_response_is_a_sum_of_four_cosines_of_the_mel_scale() -> None:
    torch.manual_seed(0)
    levels = torch.randn(400, 2, 12, 5)
    added = VoicePerturbation(12, 8000, 0.0, 0.5).train()(levels) - levels
    response = added[:, 0, :, 0]  # the same in both channels and all frames
    torch.testing.assert_close(added, response[:, None, :, None].expand_as(added))
    cosines = [[math.cos(math.pi * k * (b + 0.5) / 12) for b in range(12)] for k in range(12)]
    scale = torch.tensor([1 / 12] + [2 / 12] * 11)
    found = response @ torch.tensor(cosines).t() * scale  # its discrete cosine transform
    assert found[:, 4:].abs().max() < 1e-5
    assert 0.49 < found[:, :4].abs().max() <= 0.5 + 1e-5
    assert (found[:, :4].mean(0).abs() < 5 * 0.5 / (3 * 400) ** 0.5).all()


def test_an_encoder_hears_the_same_in_evaluation() -> None:
    torch.manual_seed(0)
    plain = MelEncoder(1, 4, hop=8, window=20, bands=6, hidden=8, blocks=1)
    warped = MelEncoder(1, 4, hop=8, window=20, bands=6, hidden=8, blocks=1, warp=0.2, colour=1.0)
    warped.load_state_dict(plain.state_dict())
    x = noise(3, 80)
    assert torch.equal(warped.eval()(x), plain.eval()(x))
    assert not torch.allclose(warped.train()(x), plain.train()(x), atol=1e-3)
