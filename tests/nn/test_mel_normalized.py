"""Normalized log-mel frames: loudness and colour are taken away, padding does not count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.sounds import noise

from vocabula.errors import OptionError
from vocabula.nn import MelEncoder

TAKEN_AWAY = [{"normalized": True}, {"level": 0.08, "sample_rate": 1000}]  # 10 frames around


def encoder(**options: Any) -> MelEncoder:
    torch.manual_seed(0)
    return MelEncoder(1, 4, hop=8, window=20, bands=6, hidden=8, blocks=1, **options).eval()


def test_loudness_does_not_matter() -> None:
    net, x = encoder(normalized=True), noise(1, 400) / 2
    torch.testing.assert_close(net(x), net(x / 8), atol=1e-3, rtol=1e-3)
    plain = encoder()
    assert (plain(x) - plain(x / 8)).abs().max() > 0.01


def test_frames_have_mean_0_and_variance_1() -> None:
    seen: list[torch.Tensor] = []
    net = encoder(normalized=True)
    net.frames.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(noise(2, 4000) * torch.logspace(-3, 0, 4000))  # 60 dB: the floor of 0.01 hardly counts
    torch.testing.assert_close(seen[0].mean(1), torch.zeros(2, 6), atol=1e-5, rtol=0)
    assert ((seen[0].var(1, unbiased=False) - 1).abs() < 0.03).all()


@pytest.mark.parametrize("options", TAKEN_AWAY, ids=["normalized", "level"])
def test_a_padded_batch_is_its_recordings(options: dict[str, Any]) -> None:
    net, x = encoder(**options), noise(2, 400)
    x[1, :, 160:] = 0
    mask = torch.ones(2, 50, dtype=torch.bool)
    mask[1, 20:] = False
    padded = net(x, mask=mask)
    torch.testing.assert_close(padded[1:, :, :20], net(x[1:, :, :160]), atol=1e-5, rtol=1e-5)


def test_it_depends_on_the_whole_and_is_not_causal() -> None:
    assert encoder(normalized=True).context is None and encoder().context is not None
    with pytest.raises(OptionError, match=r"mel\.normalized: expected false of a causal encoder"):
        encoder(normalized=True, causal=True)
