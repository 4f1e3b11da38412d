"""The nearest of many signals, by codes and by values, to see whether samples are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.budgets import NEAREST_VALUES


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest neighbour of each of several signals.

    Attributes:
        indices: (n,) where it is.
        distances: (n,) float64, how far it is.
    """

    indices: Tensor
    distances: Tensor


def nearest_by_codes(levels: Sequence[Tensor], others: Sequence[Tensor]) -> Nearest:
    """The signals with the fewest different codes.

    Args:
        levels: (n, ...) codes of each level.
        others: (N, ...) codes of each level, to find the nearest among.

    Returns:
        The distance is the fraction of codes that differ, over all levels.
    """
    flat = torch.cat([codes.flatten(1) for codes in levels], 1)
    found = torch.cat([codes.flatten(1) for codes in others], 1)
    rows = max(1, NEAREST_VALUES // found.numel())
    least = [(part[:, None] != found).sum(-1).min(1) for part in flat.to(found.dtype).split(rows)]
    counts = torch.cat([one.values for one in least])
    return Nearest(torch.cat([one.indices for one in least]), counts.double() / flat.shape[1])


def nearest_by_values(signals: Tensor, others: Tensor) -> Nearest:
    """The signals with the smallest root mean square error.

    Args:
        signals: (n, C, *extent).
        others: (N, C, *extent), to find the nearest among.
    """
    flat, found = signals.flatten(1).double(), others.flatten(1)
    rows = max(1, NEAREST_VALUES // flat.shape[1])
    # chunk by chunk in float64: the usual |a|^2 - 2ab + |b|^2 would be inexact for near copies
    parts = [torch.cdist(flat, part.double()) for part in found.split(rows)]
    least = torch.cat(parts, 1).min(1)
    return Nearest(least.indices, least.values / flat.shape[1] ** 0.5)
