"""Penalties on a codebook itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def orthogonality(codebook: Tensor) -> Tensor:
    """How far the codewords are from orthogonal: ``||E^ E^^T - I||_F^2 / K^2``, E^ with unit rows.

    Computed as (||E^^T E^||_F^2 - K) / K^2, so that nothing of size (K, K) is built.

    Args:
        codebook: (K, D).

    Returns:
        (), at least 0 up to rounding.

    Source:
        Shin et al. 2023, "Exploration into Translation-Equivariant Image Quantization".
    """
    unit = F.normalize(codebook, dim=-1)
    size = unit.shape[0]
    return (
        torch.square(unit.mT @ unit).sum() - torch.square(unit).sum(-1).square().sum()
    ) / size**2
