"""Perceptual distances: what a reconstruction loss adds where squared error is not what one sees.

::

    signals, reconstructions --PerceptualLoss--> one number, 0 for equal signals
    features of a discriminator --FeatureMatching--> one number
"""

from __future__ import annotations

from vocabula.nn.perceptual.base import Perceptual, PerceptualLoss
from vocabula.nn.perceptual.features import FeatureMatching
from vocabula.nn.perceptual.msssim import MultiScaleSSIM
from vocabula.nn.perceptual.stlpips import ShiftTolerantLPIPS
from vocabula.nn.perceptual.watson import Watson

__all__ = [
    "FeatureMatching",
    "MultiScaleSSIM",
    "Perceptual",
    "PerceptualLoss",
    "ShiftTolerantLPIPS",
    "Watson",
]
