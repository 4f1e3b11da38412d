"""Discriminators: what a logit sees, aliasing, and padding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vocabula.nn.discriminators import (
    PatchDiscriminator,
    PatchSettings,
    SpectrumDiscriminator,
    mean_inside,
)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_logit_of_the_patch_discriminator_sees_its_field(layers: int) -> None:
    net = PatchDiscriminator(1, hidden=2, layers=layers, normalization="none")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(0.1 if "weight" in name else 0.0)  # nothing cancels, relu passes all
    side = 2 * net.field
    x = torch.rand(1, 1, side, side, requires_grad=True)
    logits = net(x)[0].logits
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    extents = seen.amax(0) - seen.amin(0) + 1
    assert extents.tolist() == [net.field, net.field]


def test_a_logit_of_the_spectrum_discriminator_sees_no_more_than_its_field() -> None:
    net = SpectrumDiscriminator(1, windows=(32,), hidden=2, layers=1, normalization="none")
    x = torch.rand(1, 1, 4 * net.field, requires_grad=True)
    logits = net(x)[0].logits
    logits[0, 0, :, logits.shape[3] // 2].sum().backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    extent = int(seen.amax() - seen.amin()) + 1
    assert net.field - 8 <= extent <= net.field  # a Hann window is 0 at its first sample


def test_halving_does_not_alias() -> None:
    # the finest pattern would be a constant after a plain stride; the filter removes it
    net = PatchDiscriminator(1, hidden=1, layers=1)
    checker = torch.ones(1, 1, 16, 16)
    checker[..., ::2] = -1
    inner = net._halved(checker)[..., 1:-1]
    assert float(inner.abs().max()) < 1e-6
    torch.testing.assert_close(net._halved(torch.ones(1, 1, 16, 16)), torch.ones(1, 1, 8, 8))


def test_spectral_normalization_bounds_every_layer() -> None:
    torch.manual_seed(0)
    net = PatchSettings(hidden=8, layers=2).build(3).train()
    for _ in range(30):  # one power iteration a pass
        net(torch.rand(1, 3, 32, 32))
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert float(largest) == pytest.approx(1.0, abs=0.02)


def test_the_spectrum_of_a_sine_has_its_amplitude() -> None:
    net = SpectrumDiscriminator(1, windows=(64,), hidden=2, layers=1).networks[0]
    wave = torch.sin(2 * math.pi * 8 / 64 * torch.arange(640))
    found = net._spectrum(wave[None, None], 40)  # type: ignore[operator]
    size = found.square().sum(1).sqrt()[0, 8, 4:-4]
    torch.testing.assert_close(size, torch.ones_like(size), atol=1e-3, rtol=0)


def test_with_a_power_soft_sounds_are_lifted_and_keep_their_phase() -> None:
    plain, lifted = (
        SpectrumDiscriminator(1, windows=(64,), hidden=2, layers=1, power=power).networks[0]
        for power in (1.0, 0.3)
    )
    wave = 0.1 * torch.sin(2 * math.pi * 8 / 64 * torch.arange(640))[None, None]
    before, after = (net._spectrum(wave, 40)[0, :, 8, 4:-4] for net in (plain, lifted))  # type: ignore[operator]
    size = after.square().sum(0).sqrt()
    torch.testing.assert_close(size, torch.full_like(size, 0.5012), atol=1e-3, rtol=0)  # 0.1^0.3
    angles = [torch.atan2(part[1], part[0]) for part in (before, after)]
    torch.testing.assert_close(*angles, atol=1e-4, rtol=0)
    silent = torch.zeros(1, 1, 640, requires_grad=True)
    lifted(silent).logits.sum().backward()
    assert silent.grad is not None and silent.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["patch", "spectrum"])
def test_padding_does_not_count(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "patch":
        net, x = PatchDiscriminator(1, hidden=2, layers=1), torch.rand(2, 1, 16, 24)
        mask = torch.zeros(2, 16, 24, dtype=torch.bool)
        mask[0], mask[1, :8, :12] = True, True
        count = 8 * 12 + 4 * 6
    else:
        net = SpectrumDiscriminator(1, windows=(16,), hidden=2, layers=1)  # type: ignore[assignment]
        x, mask = torch.rand(2, 1, 64), torch.arange(64) < torch.tensor([[64], [30]])
        count = 16 + 8
    x = torch.where(mask.unsqueeze(1), x, 0)
    (judgement,) = net(x, mask)
    inside = judgement.inside
    assert inside is not None
    whole = inside.expand_as(judgement.logits)
    assert int(whole.sum()) == count * (1 if kind == "patch" else judgement.logits.shape[2])
    changed = torch.where(whole, judgement.logits, 1e6)
    torch.testing.assert_close(
        mean_inside(changed, inside), judgement.logits[whole].mean(), rtol=1e-5, atol=1e-6
    )
