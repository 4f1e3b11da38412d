"""The Bjontegaard delta rate: how many more bytes one curve takes than another at equal PSNR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from scipy.interpolate import PchipInterpolator

Points = Sequence[tuple[float, float]]


def bd_rate(own: Points, other: Points) -> float | None:
    """The mean excess of one curve's rate over another's, over the PSNR that both have.

    The logarithm of the rate is interpolated over PSNR by monotone cubic pieces, and the mean
    difference of the two is taken back from the logarithm.

    Args:
        own: (rate, PSNR) of one curve, rates above 0, in any order.
        other: those of the other.

    Returns:
        0.1 for 10 % more bits, -0.1 for 10 % fewer; None if a curve has fewer than two points of
        rising rate and PSNR, or they share no PSNR.

    Source:
        Bjontegaard 2001, VCEG-M33, with the piecewise cubics of JVET common test conditions.

    Example:
        >>> round(bd_rate([(2.0, 30.0), (4.0, 33.0)], [(1.0, 30.0), (2.0, 33.0)]), 3)
        1.0
    """
    curves = [_rising(points) for points in (own, other)]
    if min(map(len, curves)) < 2:
        return None
    low = max(curve[0][1] for curve in curves)
    high = min(curve[-1][1] for curve in curves)
    if high <= low:
        return None
    means = []
    for curve in curves:
        psnrs, logs = [psnr for _, psnr in curve], [math.log(rate) for rate, _ in curve]
        means.append(float(PchipInterpolator(psnrs, logs).integrate(low, high)) / (high - low))
    return math.expm1(means[0] - means[1])


def _rising(points: Points) -> list[tuple[float, float]]:
    """The points by rate, without those that cost more than another of at least their PSNR."""
    kept: list[tuple[float, float]] = []
    for rate, psnr in sorted(points):
        if math.isfinite(psnr) and (not kept or psnr > kept[-1][1]):
            kept.append((rate, psnr))
    return [*kept[:1], *(after for before, after in pairwise(kept) if after[0] > before[0])]
