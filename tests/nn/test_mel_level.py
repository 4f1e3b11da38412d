"""The level of a recording, taken away: loudness does not matter, the spectrum stays."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sounds import noise
from vocabula.errors import OptionError
from vocabula.nn import MelEncoder


def encoder(**options: Any) -> MelEncoder:
    torch.manual_seed(0)
    options = {"hop": 8, "window": 20, "bands": 6, "hidden": 8, "blocks": 1, **options}
    return MelEncoder(1, 4, sample_rate=1000, **options).eval()


def levels(net: MelEncoder, x: Tensor) -> Tensor:
    """The log-mel levels (B, n, bands) that the blocks see, in nepers."""
    seen: list[Tensor] = []
    with net.frames.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
        net(x)
    return seen[0] * 2.5 - 7


def test_loudness_does_not_matter_and_the_spectrum_stays() -> None:
    net, x = encoder(level=1.0), noise(1, 400) / 2
    torch.testing.assert_close(net(x), net(x / 8), atol=1e-3, rtol=1e-3)
    plain = encoder()
    assert (plain(x) - plain(x / 8)).abs().max() > 0.01
    moved = levels(net, x) - levels(plain, x)  # one number for the whole recording
    torch.testing.assert_close(moved, moved[:, :1, :1].expand_as(moved))


def test_the_mean_power_of_a_recording_is_that_of_minus_4_nepers() -> None:
    seen = levels(encoder(level=1.0), noise(2, 800))
    power = (2 * seen).exp().mean((1, 2))
    torch.testing.assert_close(power, torch.full((2,), math.exp(-8)), rtol=1e-4, atol=0)


def test_a_level_is_that_of_so_many_seconds_on_each_side() -> None:
    net = encoder(level=0.08)  # 10 frames of 8 ms
    x = noise(1, 2400)
    x[..., 1200:] /= 100
    plain = levels(encoder(), x)[0]
    moved = (levels(net, x)[0] - plain)[:, 0]
    power = (2 * plain).exp().mean(1)
    for frame in (0, 5, 70, 149, 150, 200, 299):
        mean = power[max(0, frame - 10) : frame + 11].mean()
        assert float(moved[frame]) == pytest.approx(-4 - math.log(float(mean)) / 2, abs=1e-3)
    assert float(moved[200] - moved[70]) == pytest.approx(math.log(100), abs=0.3)


def test_silence_stays_far_below() -> None:
    seen = levels(encoder(level=1.0), torch.zeros(1, 1, 80))
    # -100 dB of full scale, lifted by no more than the level of 1e-9 is below -4 nepers
    torch.testing.assert_close(
        seen, torch.full_like(seen, math.log(1e-5) - math.log(1e-9 + 1e-10) / 2 - 4)
    )


def test_a_vector_depends_on_no_more_than_the_context() -> None:
    net, x = encoder(level=0.08), noise(1, 1600)
    around = net.context
    assert around == (encoder().context or 0) + 10
    part = net(x[..., (90 - around) * 8 : (110 + around) * 8])[..., around:-around]
    torch.testing.assert_close(part, net(x)[..., 90:110], atol=1e-5, rtol=1e-5)


def test_what_cannot_be_levelled_is_refused() -> None:
    with pytest.raises(OptionError, match=r"mel\.level: expected 0 of a causal encoder"):
        encoder(level=1.0, causal=True)
    with pytest.raises(OptionError, match=r"mel\.level: expected 0 or at least a hop, 0\.008 s"):
        encoder(level=0.001)
