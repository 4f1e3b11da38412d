"""Figures: how close reconstructions are, what the codes cost, and how the codebook is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.evaluation.measurement import evaluate
    from vocabula.evaluation.metrics.similarity import mse, psnr, ssim
    from vocabula.evaluation.result import Evaluation
    from vocabula.evaluation.usage import BookUsage

__getattr__ = lazy_names(__name__)

__all__ = ["BookUsage", "Evaluation", "evaluate", "mse", "psnr", "ssim"]
