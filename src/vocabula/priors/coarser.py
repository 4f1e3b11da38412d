"""Which position of a coarser grid a position of a finer grid belongs to."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TypeVar

from torch import Tensor

Place = TypeVar("Place", int, Tensor)


def step_between(fine: int, coarse: int) -> Fraction:
    """Fine positions to one coarser position, along an axis.

    It is f = ceil(fine / coarse) where the coarser positions are cells of f positions, of which the
    last may be a part: in hierarchies. Otherwise it is the fraction fine / coarse: scales of a
    multi-scale quantizer need not divide one another.

    Example:
        >>> step_between(7, 4), step_between(4, 3)
        (Fraction(2, 1), Fraction(4, 3))
    """
    whole = -(-fine // coarse)
    cells = coarse >= fine or whole * (coarse - 1) < fine
    return Fraction(whole) if cells else Fraction(fine, coarse)


def coarser(place: Place, step: Fraction) -> Place:
    """The coarser positions floor(place / step) that positions belong to."""
    return place * step.denominator // step.numerator


def phase(place: Place, step: Fraction) -> Place:
    """Which of the up to ceil(step) positions of its coarser position each one is."""
    return place + -coarser(place, step) * step.numerator // step.denominator


def phases_of(step: Fraction) -> int:
    """Most positions of a coarser position."""
    return math.ceil(step)


def wanted(size: int, step: Fraction) -> int:
    """How many coarser positions cover `size` positions."""
    return math.ceil(size / step)
