"""Learning-rate schedules: a factor on the optimizer's rate, a pure function of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from vocabula.registry import component

Warmup = Annotated[int, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]


class Schedule(ABC):
    """A learning-rate factor in [0, 1] for every optimizer step.

    During the first `warmup` steps the factor of step s (from 0) is (s + 1) / warmup.
    """

    component_kind: ClassVar[str] = "schedule"

    warmup: int

    def factor(self, step: int, steps: int) -> float:
        """The factor of one step.

        Args:
            step: index of the step, from 0.
            steps: steps of the whole run.
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        return self.after_warmup(min(1.0, progress))

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """The factor when the fraction `progress` in [0, 1] of the other steps is done."""


@component("schedule", "constant")
@dataclass(kw_only=True)
class Constant(Schedule):
    """The same rate throughout.

    Args:
        warmup: steps over which the rate first rises from 0.
    """

    warmup: Warmup = 0

    def after_warmup(self, progress: float) -> float:
        """Always 1."""
        return 1.0


@component("schedule", "cosine")
@dataclass(kw_only=True)
class Cosine(Schedule):
    """Half a cosine: final + (1 - final) (1 + cos(pi progress)) / 2.

    Args:
        warmup: steps over which the rate first rises from 0.
        final: factor at the end of the run.

    Source: Loshchilov and Hutter, SGDR, 2017, equation 5, without restarts.
    """

    warmup: Warmup = 0
    final: Fraction = 0.0

    def after_warmup(self, progress: float) -> float:
        """The cosine's value."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


@component("schedule", "linear")
@dataclass(kw_only=True)
class Linear(Schedule):
    """A straight line: 1 - (1 - final) progress.

    Args:
        warmup: steps over which the rate first rises from 0.
        final: factor at the end of the run.
    """

    warmup: Warmup = 0
    final: Fraction = 0.0

    def after_warmup(self, progress: float) -> float:
        """The line's value."""
        return 1 - (1 - self.final) * progress
