"""How close a reconstruction is to its image: squared error, PSNR and SSIM per image."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from vocabula.evaluation.metrics.base import Fidelity, Figures, Row, Tile, in_form
from vocabula.evaluation.metrics.similarity import (
    SSIM_WINDOW,
    moments,
    mse,
    psnr,
    ssim,
    ssim_window,
)


class ImageFidelity(Fidelity):
    """Squared error, PSNR and SSIM of images (B, C, H, W) in [0, 1]."""

    columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("psnr", "PSNR, dB", ".2f"),
        ("ssim", "SSIM", ".4f"),
    )

    def __init__(self) -> None:
        self._window = self._images = self._values = 0
        self._sums = dict.fromkeys(("error", "psnr", "ssim", "value", "square"), 0.0)

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions (B, C, H, W)."""
        error, (value, square) = mse(output, signals).cpu(), moments(signals)
        parts: dict[str, Tensor | float] = {
            "error": error.sum() * signals[0].numel(),
            "psnr": psnr(error).sum(),
            "ssim": ssim(output, signals).sum(),
            "value": value,
            "square": square,
        }
        for name, part in parts.items():
            self._sums[name] += float(part)
        self._images += len(signals)
        self._values += signals.numel()
        window = ssim_window(signals.shape[-2], signals.shape[-1])
        self._window = min(self._window or window, window)

    def figures(self) -> Figures:
        """Figures of images in [0, 1].

        - ``mse``: mean squared error over all values of all images;
        - ``mse_over_variance``: over the variance of all these values; None if that is 0;
        - ``psnr``: mean over the images of their PSNR, dB;
        - ``psnr_all_pixels``: PSNR of ``mse``, dB; at most about ``psnr``;
        - ``ssim``: mean over the images of their structural similarity, at most 1;
        - ``ssim_window``: side of the smallest window used; 11 is the standard.
        """
        s, count = self._sums, self._values
        error = s["error"] / count
        variance = s["square"] / count - (s["value"] / count) ** 2
        return {
            "mse": error,
            "mse_over_variance": error / variance if variance > 0 else None,
            "psnr": s["psnr"] / self._images,
            "psnr_all_pixels": float(psnr(torch.tensor(error))),
            "ssim": s["ssim"] / self._images,
            "ssim_window": self._window,
        }

    @classmethod
    def rows(cls, figures: Figures) -> list[Row]:
        """The errors to show."""
        window = figures["ssim_window"]
        small = "" if window == SSIM_WINDOW else f"; window {window}, not {SSIM_WINDOW}"
        return [
            Row("MSE", f"{figures['mse']:.6f}", "over all values, on the scale [0, 1]"),
            Row(
                "MSE / variance",
                in_form(figures["mse_over_variance"], ".4f"),
                "over the variance of these images",
            ),
            Row("PSNR", f"{figures['psnr']:.2f} dB", "mean over images"),
            Row("PSNR, all pixels", f"{figures['psnr_all_pixels']:.2f} dB", "of the MSE above"),
            Row("SSIM", f"{figures['ssim']:.4f}", f"mean over images{small}"),
        ]

    @classmethod
    def tiles(cls, figures: Figures) -> list[Tile]:
        """PSNR and SSIM."""
        return [
            Tile("PSNR, mean over images", f"{figures['psnr']:.2f}", "dB"),
            Tile("SSIM", f"{figures['ssim']:.3f}"),
        ]

    @classmethod
    def of_error(cls, mse: float) -> dict[str, float]:
        """``psnr`` of a mean squared error, dB; infinite for an exact reconstruction."""
        return {"psnr": -10 * math.log10(mse) if mse > 0 else math.inf}
