"""MSE, PSNR and SSIM against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from vocabula.errors import ShapeError
from vocabula.evaluation.metrics import similarity as metrics
from vocabula.evaluation.metrics.similarity import moments, mse, psnr, ssim, ssim_window


def test_mse_is_per_image() -> None:
    image = torch.zeros(2, 3, 4, 4)
    output = image.clone()
    output[1] = 0.1
    torch.testing.assert_close(mse(output, image), torch.tensor([0.0, 0.01]).double())


def test_psnr_of_known_errors() -> None:
    # 10 log10(1 / e): 20 dB at 0.01, 30 dB at 0.001, 6.0206 dB at 1/4; exact images read 100 dB
    values = psnr(torch.tensor([0.01, 0.001, 0.25, 0.0], dtype=torch.float64))
    assert values.tolist() == pytest.approx([20.0, 30.0, 10 * math.log10(4), 100.0])


def test_ssim_of_an_image_with_itself_is_one() -> None:
    image = torch.rand(2, 3, 16, 20)
    assert ssim(image, image).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("side", [1, 2, 8, 11, 32])
def test_ssim_of_constant_images(side: int) -> None:
    # without variance SSIM is its luminance term (2 a b + C1) / (a^2 + b^2 + C1), C1 = 0.01^2
    image, output = torch.full((1, 1, side, side), 0.2), torch.full((1, 1, side, side), 0.4)
    expected = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert float(ssim(output, image)[0]) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_one_window_by_hand() -> None:
    """An 11 x 11 image has one window: the formula of Wang et al. in float64, written out."""
    generator = np.random.default_rng(0)
    x, y = generator.random((11, 11)), generator.random((11, 11))
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    ux, uy = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - ux) ** 2).sum(), (weights * (y - uy) ** 2).sum()
    covariance = (weights * (x - ux) * (y - uy)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * ux * uy + c1) * (2 * covariance + c2)
    expected /= (ux**2 + uy**2 + c1) * (vx + vy + c2)
    got = ssim(torch.from_numpy(y)[None, None], torch.from_numpy(x)[None, None])
    assert float(got[0]) == pytest.approx(expected, abs=1e-9)


def test_ssim_is_the_mean_over_channels() -> None:
    image = torch.rand(1, 3, 16, 16)
    output = torch.rand(1, 3, 16, 16)
    single = [float(ssim(output[:, c : c + 1], image[:, c : c + 1])[0]) for c in range(3)]
    assert float(ssim(output, image)[0]) == pytest.approx(np.mean(single))


@pytest.mark.parametrize("pixels", [1, 16 * 40, 7 * 40 + 3])
def test_large_images_are_measured_in_bands(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of one row, of all and of some rows: the figures of the whole image."""
    image, output = torch.rand(2, 2, 16, 40), torch.rand(2, 2, 16, 40)
    monkeypatch.setattr(metrics, "METRIC_PIXELS", pixels)
    expected = [
        structural_similarity(
            x,
            y,
            data_range=1.0,
            channel_axis=0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        for x, y in zip(image.double().numpy(), output.double().numpy(), strict=True)
    ]
    assert ssim(output, image).tolist() == pytest.approx(expected, abs=1e-12)
    squares = ((output.double() - image.double()) ** 2).mean((1, 2, 3))
    torch.testing.assert_close(mse(output, image), squares)
    value, square = moments(image)
    assert value == pytest.approx(float(image.double().sum()))
    assert square == pytest.approx(float(image.double().square().sum()))


def test_window_shrinks_with_the_image() -> None:
    assert [ssim_window(s, 99) for s in (1, 2, 8, 10, 11, 500)] == [1, 1, 7, 9, 11, 11]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match="two equal shapes"):
        mse(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
    with pytest.raises(ShapeError, match="two equal shapes"):
        ssim(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4))
