"""How strong the mean of a quantizer's vectors is, and how unequal the scales of their components.

A quantizer without k-means or revival gives most vectors one code where the mean is much longer
than what differs between them, or where a few components are larger than all others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.functional import readable

ROWS = 256
EVERY = 16


class VectorSample:
    """Some of the vectors of a recent training pass, of this process; idle in a compiled graph.

    Up to 256 evenly spaced rows of every 16th pass are kept.
    """

    def __init__(self) -> None:
        self._passes = 0
        self._rows: Tensor | None = None
        self._valid: Tensor | None = None

    def take(self, rows: Tensor, valid: Tensor | None) -> None:
        """Take in rows (N, D) of a training pass, of which those in `valid` (N,) count."""
        if torch.compiler.is_compiling():
            return
        due = self._passes % EVERY == 0
        self._passes += 1
        if not due or readable(rows) is None or not len(rows):
            return
        step = -(-len(rows) // ROWS)
        self._rows = rows.detach()[::step].clone()
        self._valid = None if valid is None else valid.detach()[::step].clone()

    def ratios(self) -> tuple[float, float] | None:
        """The ratios of the mean and of the scales, see `ratios`; None without two vectors."""
        if self._rows is None:
            return None
        rows = self._rows if self._valid is None else self._rows[self._valid > 0]
        return ratios(rows) if len(rows) > 1 else None


def ratios(rows: Tensor) -> tuple[float, float] | None:
    """The ratios that say how anisotropic vectors (N, D) are; None if all are equal.

    Returns:
        the norm of the mean over the root mean square distance from it, and the largest standard
        deviation of a component over the median one of those that vary.
    """
    x = rows.double()
    mean = x.mean(0)
    variance = (x - mean).square().mean(0)
    varying = variance[variance > 0]
    if not len(varying):
        return None
    scales = varying.sqrt()
    return float(mean.norm() / variance.sum().sqrt()), float(scales.max() / scales.median())
