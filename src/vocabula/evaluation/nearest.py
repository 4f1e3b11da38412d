"""The nearest of many signals, by codes and by values, to see whether samples are copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from vocabula.budgets import NEAREST_VALUES
from vocabula.signals.codes import OUTSIDE


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest neighbour of each of several signals.

    Attributes:
        indices: (n,) where it is.
        distances: (n,) float64, how far it is.
    """

    indices: Tensor
    distances: Tensor


def nearest_by_codes(
    groups: Sequence[Sequence[Tensor]], parts: Iterable[Sequence[Tensor]]
) -> list[Nearest]:
    """The signals with the smallest share of different codes; of equally near ones the first.

    Args:
        groups: of some groups of signals the codes (n, ...) of each level, with -1 after shorter
            signals of one axis.
        parts: the signals to find the nearest among, at least one, part by part; of each part the
            codes (N, ...) of each level, likewise. One part at a time is in memory.

    Returns:
        The nearest to each signal of each group, by its number in all parts together. The distance
        is the share of codes that differ, over all levels; of signals of different lengths of the
        codes of the longer one.
    """
    found: list[Nearest] = []
    first = 0
    for part in parts:
        near = [_nearest_of_part(own, part) for own in groups]
        near = [Nearest(each.indices + first, each.distances) for each in near]
        found = [_nearer(*pair) for pair in zip(found, near, strict=True)] if found else near
        first += len(part[0])
    return found


def _nearer(one: Nearest, other: Nearest) -> Nearest:
    """The nearer neighbours, those of `one` where both are equally near."""
    nearer = other.distances < one.distances
    return Nearest(
        torch.where(nearer, other.indices, one.indices),
        torch.where(nearer, other.distances, one.distances),
    )


def _nearest_of_part(levels: Sequence[Tensor], others: Sequence[Tensor]) -> Nearest:
    pairs = [_as_long(own, other) for own, other in zip(levels, others, strict=True)]
    flat = torch.cat([own.flatten(1) for own, _ in pairs], 1)
    found = torch.cat([other.flatten(1) for _, other in pairs], 1)
    rows = max(1, NEAREST_VALUES // found.numel())
    inside = (found != OUTSIDE).sum(1)
    least = []
    for part in flat.to(found.dtype).split(rows):
        longer = torch.maximum((part != OUTSIDE).sum(1)[:, None], inside)
        least.append(((part[:, None] != found).sum(-1).double() / longer).min(1))
    distances, indices = (torch.cat(each) for each in zip(*least, strict=True))
    return Nearest(indices, distances)


def nearest_by_values(signals: Sequence[Tensor], others: Sequence[Tensor]) -> Nearest:
    """The signals with the smallest root mean square error.

    Args:
        signals: (C, *extent) each; of one axis they may differ in length. Shorter ones are
            continued by 0.
        others: to find the nearest among, likewise.
    """
    longest = max(x.shape[-1] for x in (*signals, *others))
    flat = _stacked(signals, longest).double()
    rows = max(1, NEAREST_VALUES // flat.shape[1])
    # chunk by chunk in float64: the usual |a|^2 - 2ab + |b|^2 would be inexact for near copies
    chunks = (others[first : first + rows] for first in range(0, len(others), rows))
    parts = [torch.cdist(flat, _stacked(chunk, longest).double()) for chunk in chunks]
    values = torch.tensor([x.numel() for x in signals])
    longer = torch.maximum(values[:, None], torch.tensor([x.numel() for x in others]))
    least = (torch.cat(parts, 1) / longer.double().sqrt()).min(1)
    return Nearest(least.indices, least.values)


def _as_long(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (n, count, ...) of two groups of signals, with -1 up to the longer count.

    Codes of signals without axes stay as they are, with or without an axis of one position.
    """
    if one[0].numel() == other[0].numel():
        return one, other
    count = max(one.shape[1], other.shape[1])
    made = []
    for codes in (one, other):
        longer = codes.new_full((len(codes), count, *codes.shape[2:]), OUTSIDE)
        longer[:, : codes.shape[1]] = codes
        made.append(longer)
    return made[0], made[1]


def _stacked(signals: Sequence[Tensor], longest: int) -> Tensor:
    """Signals as rows of values, continued by 0."""
    return torch.stack([pad(x, (0, longest - x.shape[-1])).flatten() for x in signals])
