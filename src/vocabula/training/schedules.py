"""Learning-rate schedules: a factor on the optimizer's rate, a pure function of the progress."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from vocabula.registry import component

Warmup = Annotated[int, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
WARMUP_TIME = 0.1
"""Of a run that is limited by time, the warm-up takes at most this fraction."""


class Schedule(ABC):
    """A learning-rate factor in [0, 1] for every optimizer step.

    During the first `warmup` steps the factor of step s (from 0) is (s + 1) / warmup. A run that is
    limited by time ends its schedule in time::

        progress = max((s - warmup) / (steps - warmup), elapsed)
        ramp     = max((s + 1) / warmup, elapsed / 0.1), at most 1
    """

    component_kind: ClassVar[str] = "schedule"

    warmup: int

    def factor(self, step: int, steps: int, elapsed: float = 0.0) -> float:
        """The factor of one step.

        Args:
            step: index of the step, from 0.
            steps: steps of the whole run.
            elapsed: fraction of the run's time that has passed; 0 where it has no limit.
        """
        done = (step - self.warmup) / max(1, steps - self.warmup)
        ramp = (step + 1) / self.warmup if step < self.warmup else 1.0
        if elapsed > 0:
            done, ramp = max(done, elapsed), min(1.0, max(ramp, elapsed / WARMUP_TIME))
        return ramp * self.after_warmup(min(1.0, done)) if done >= 0 else ramp

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
