"""Squared error, PSNR and SSIM of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vocabula.budgets import METRIC_PIXELS
from vocabula.errors import ShapeError

PSNR_CEILING = 100.0
"""dB reported for an exact reconstruction, whose PSNR is infinite."""


SSIM_WINDOW = 11


SSIM_SIGMA = 1.5


_SSIM_TRUNCATE = 3.5  # scikit-image's cut-off; radius = int(3.5 sigma + 0.5) = 5 at sigma 1.5


def mse(output: Tensor, image: Tensor) -> Tensor:
    """Mean squared error of each image.

    Args:
        output: (B, C, H, W), the reconstruction in [0, 1].
        image: (B, C, H, W), the original in [0, 1].

    Returns:
        (B,) float64, means over channels and pixels.

    Raises:
        ShapeError: if the shapes differ or are not (B, C, H, W).
    """
    _check(output, image)
    bands = zip(_bands(output), _bands(image), strict=True)
    sums = [(x.double() - y.double()).square_().sum(dim=(1, 2, 3)) for x, y in bands]
    return torch.stack(sums).sum(0) / image[0].numel()


def moments(images: Tensor) -> tuple[float, float]:
    """The sums of the values of images (B, C, H, W) and of their squares, in float64."""
    value = square = 0.0
    for band in _bands(images):
        value += float(band.sum(dtype=torch.float64))
        square += float(band.double().square().sum())
    return value, square


def psnr(error: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, ``-10 log10(error)`` dB, of a mean squared error on [0, 1].

    The mean of this over images is the "per image" PSNR of a data set; applied to the mean of the
    errors it is the PSNR over all pixels, which is never larger (Jensen).

    Args:
        error: any shape, mean squared errors of images in [0, 1] (peak 1).

    Returns:
        the same shape, dB, at most `PSNR_CEILING` (an exact reconstruction).
    """
    floor = 10.0 ** (-PSNR_CEILING / 10)
    return -10.0 * error.double().clamp(min=floor).log10()


def ssim(output: Tensor, image: Tensor) -> Tensor:
    """Structural similarity of each image, the mean over its channels.

    A Gaussian window of 11 x 11 pixels with a standard deviation of 1.5, population covariances,
    K1 = 0.01, K2 = 0.03 and peak 1, averaged over the windows that lie inside the image. An image
    with a side below 11 pixels gets the largest odd window that fits, with the standard deviation
    scaled accordingly; such figures are not comparable with figures of larger images.

    Args:
        output: (B, C, H, W), the reconstruction in [0, 1].
        image: (B, C, H, W), the original in [0, 1].

    Returns:
        (B,) float64, at most 1.

    Raises:
        ShapeError: if the shapes differ or are not (B, C, H, W).

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", 2004; computed by `skimage.metrics.structural_similarity`.
    """
    from skimage.metrics import structural_similarity

    _check(output, image)
    window = ssim_window(image.shape[-2], image.shape[-1])

    def value(x: np.ndarray, y: np.ndarray) -> float:
        found: float = structural_similarity(
            x,
            y,
            data_range=1.0,
            channel_axis=0,
            gaussian_weights=True,
            sigma=SSIM_SIGMA * window / SSIM_WINDOW,
            use_sample_covariance=False,
        )
        return found

    total = np.zeros(len(image))
    bands = zip(_bands(image, window - 1), _bands(output, window - 1), strict=True)
    for x, y in bands:
        pairs = zip(_planes(x), _planes(y), strict=True)
        total += [value(a, b) * (x.shape[-2] - window + 1) for a, b in pairs]
    return torch.from_numpy(total / (image.shape[-2] - window + 1))


def ssim_window(height: int, width: int) -> int:
    """Side of the window that `ssim` uses for an image of this size: 11, or the largest odd fit."""
    side = min(height, width, SSIM_WINDOW)
    return side if side % 2 else side - 1


def _bands(images: Tensor, overlap: int = 0) -> Iterator[Tensor]:
    """Images (B, C, H, W) in bands of rows; each begins with `overlap` extra rows."""
    height, width = images.shape[-2:]
    rows = max(1, METRIC_PIXELS // width)
    for first in range(0, max(1, height - overlap), rows):
        yield images[..., first : first + rows + overlap, :]


def _planes(x: Tensor) -> np.ndarray:
    return x.detach().double().cpu().numpy()


def _check(output: Tensor, image: Tensor) -> None:
    if output.ndim != 4 or output.shape != image.shape:
        raise ShapeError(
            f"metrics: expected two equal shapes (B, C, H, W), got {tuple(output.shape)} and "
            f"{tuple(image.shape)}; crop the reconstruction to the size of its image"
        )
