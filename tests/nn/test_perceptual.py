"""Perceptual distances: values known from elsewhere, gradients, and what they refuse."""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.nn.discriminators import Judgement
from vocabula.nn.perceptual import (
    FeatureMatching,
    MultiScaleSSIM,
    PerceptualLoss,
    ShiftTolerantLPIPS,
    Watson,
)
from vocabula.nn.perceptual.stlpips import read_tensors


def waves() -> tuple[Tensor, Tensor]:
    """A picture (1, 3, 64, 64) and a changed one."""
    place = torch.arange(64.0)
    grey = torch.sin(place[:, None] / 3) * torch.cos(place / 5) / 2 + 0.5
    x = grey * torch.tensor([1.0, 0.7, 0.4]).view(1, 3, 1, 1)
    return x, x.roll(1, -1) * 0.9 + 0.05


def every() -> list[PerceptualLoss]:
    return [MultiScaleSSIM(scales=2), Watson().eval(), ShiftTolerantLPIPS()]


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pictures_are_at_distance_0_and_gradients_are_finite(channels: int) -> None:
    flat = torch.full((2, channels, 64, 64), 0.5)
    for distance in every():
        x = torch.rand(2, channels, 64, 64)
        assert abs(float(distance(x, x))) < 1e-5
        near = float(distance((x + 0.02).clamp(0, 1), x))
        assert 0 < near < float(distance(x.flip(-1), x))
        for one in (flat, torch.zeros_like(flat)):  # every root and ratio at its worst
            output = one.clone().requires_grad_()
            distance(output, flat).backward()
            assert output.grad is not None and output.grad.isfinite().all(), distance


def test_distances_are_those_of_float32_under_autocast() -> None:
    x, y = waves()
    for distance in every():
        plain = distance(y, x)
        with torch.autocast("cpu", torch.bfloat16):
            assert distance(y, x).equal(plain)


def test_msssim_of_one_scale_is_the_ssim_of_scikit_image() -> None:
    x, y = waves()
    found = structural_similarity(
        x[0].double().numpy(),
        y[0].double().numpy(),
        data_range=1.0,
        channel_axis=0,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    assert float(MultiScaleSSIM(scales=1)(y, x)) == pytest.approx(1 - found, abs=1e-5)


def test_msssim_of_three_scales_by_the_formula() -> None:
    x, y = waves()
    a, b = x[0, 0].double().numpy(), y[0, 0].double().numpy()
    exponents = [w / (0.0448 + 0.2856 + 0.3001) for w in (0.0448, 0.2856, 0.3001)]
    product = 1.0

    def smooth(values):  # type: ignore[no-untyped-def]
        return gaussian_filter(values, 1.5, radius=5)[5:-5, 5:-5]

    for scale, exponent in enumerate(exponents):
        if scale:
            a, b = ((v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]) / 4 for v in (a, b))
        m, n = smooth(a), smooth(b)
        found = (2 * (smooth(a * b) - m * n) + 9e-4) / (
            smooth(a * a) - m * m + smooth(b * b) - n * n + 9e-4
        )
        if scale == 2:
            found *= (2 * m * n + 1e-4) / (m * m + n * n + 1e-4)
        product *= found.mean() ** exponent
    assert float(MultiScaleSSIM(scales=3)(y[:, :1], x[:, :1])) == pytest.approx(
        1 - product, abs=1e-5
    )


def test_msssim_of_two_flat_pictures_is_their_brightness_alone() -> None:
    a, b = torch.full((1, 1, 44, 44), 0.2), torch.full((1, 1, 44, 44), 0.6)
    alike = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    expected = 1 - alike ** (0.3001 / (0.0448 + 0.2856 + 0.3001))
    assert float(MultiScaleSSIM(scales=3)(a, b)) == pytest.approx(expected, abs=1e-4)


def test_watson_of_one_cosine_by_hand() -> None:
    # brightness 0.5 everywhere; the output has a cosine of period 4 across, of amplitude 4 / 255
    target = torch.full((1, 1, 16, 16), 0.5)
    output = target + 4 / 255 * torch.cos(math.pi / 2 * torch.arange(16.0))
    # an orthonormal 8 x 8 transform: amplitude 4 becomes 4 * 8 / 2 at the frequency 2, and is there
    # once among the 40 coefficients kept; the table has 2.40 for the cosine 4
    expected = math.sqrt((16 / 2.40) ** 2 / 40)
    assert float(Watson().eval()(output, target)) == pytest.approx(expected, rel=1e-3)


def test_watson_forgives_a_shift_and_not_a_loss_of_contrast() -> None:
    wave = torch.cos(math.pi / 2 * torch.arange(32.0))
    target = (0.5 + 0.2 * wave).expand(1, 1, 32, 32)
    shifted = (0.5 + 0.2 * wave.roll(1)).expand(1, 1, 32, 32)
    blurred = torch.full((1, 1, 32, 32), 0.5)
    plain = [float(Watson(phase=1.0).eval()(x, target)) for x in (shifted, blurred)]
    assert plain[0] == pytest.approx(math.sqrt(2) * plain[1], rel=1e-3)  # as squared error has it
    assert float(Watson().eval()(shifted, target)) < float(Watson().eval()(blurred, target))


def test_stlpips_gives_the_values_of_its_authors_code() -> None:
    x, y = waves()
    distance = ShiftTolerantLPIPS()
    # stlpips_pytorch 0.0.2: LPIPS(net="alex", variant="shift_tolerant")(a, b, normalize=True)
    assert float(distance(y, x)) == pytest.approx(0.00294754, rel=1e-4)
    assert float(distance((x * 8).round() / 8, x)) == pytest.approx(0.03636103, rel=1e-4)
    assert float(distance(y[:, :1], x[:, :1])) == pytest.approx(0.00053230, rel=1e-4)


def test_missing_and_changed_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=r"got no file; pip install 'vocabula\[perceptual\]'"):
        read_tensors(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(OptionError, match=r"expected the weights .*got one with SHA-256 d9298a10"):
        read_tensors(tmp_path / "other.pth")

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(OptionError, match=r"package stlpips-pytorch for stlpips, got none"):
        ShiftTolerantLPIPS()


@pytest.mark.parametrize(
    ("axes", "channels", "side", "message"),
    [
        (2, 2, 64, "1 or 3 channels for msssim, got 2"),
        (2, 4, 64, "1 or 3 channels for msssim, got 4"),
        (1, 1, 64, "two axes for msssim, got 1"),
        (2, 3, 21, "at least 22 for msssim, got 64 x 21"),
    ],
)
def test_signals_that_cannot_be_compared_are_refused(
    axes: int, channels: int, side: int, message: str
) -> None:
    distance = MultiScaleSSIM(scales=2)
    distance.check(2, 3, (64, 22))
    with pytest.raises(OptionError, match=message):
        distance.check(axes, channels, (64, side)[:axes])


def test_feature_matching_by_hand() -> None:
    logits = torch.zeros(1, 1, 2)
    real = Judgement(logits, (torch.tensor([[[1.0, -3.0]]]), torch.tensor([[[4.0, 0.0]]])))
    fake = Judgement(logits, (torch.tensor([[[2.0, -3.0]]]), torch.tensor([[[0.0, 2.0]]])))
    # (1 + 0) / (1 + 3) and (4 + 2) / (4 + 0)
    assert float(FeatureMatching()([fake], [real])) == pytest.approx((0.25 + 1.5) / 2)
    inside = torch.tensor([[[True, False]]])
    masked = [Judgement(one.logits, one.features, inside) for one in (fake, real)]
    assert float(FeatureMatching()(masked[:1], masked[1:])) == pytest.approx((1 + 1) / 2)
