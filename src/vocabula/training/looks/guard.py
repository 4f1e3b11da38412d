"""The guard, which weakens an adversary that ruins reconstructions, and the watch over both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vocabula.training.looks.losses import ASLEEP
from vocabula.training.looks.options import AdversarialLoss

_DECAY = 0.95
_REST = 50
"""Steps after a weakening before the next: so long the reconstructions take to recover."""
_STRIKES = 3


class Guard:
    """Halves the adversary's weight when the error has risen too much; the third time it is 0.

    The error is a running average of a decay of 0.95. It is compared with its value when the
    adversary began to count.

    Args:
        most_drop: dB that the error may rise.

    Attributes:
        strikes: how often the weight was weakened.
    """

    def __init__(self, most_drop: float) -> None:
        self.most_drop = most_drop
        self.strikes = 0
        self._total = self._seen = 0.0
        self._reference: float | None = None
        self._rest = 0

    @property
    def factor(self) -> float:
        """What the adversary's weight is multiplied by."""
        return 0.0 if self.strikes >= _STRIKES else 0.5**self.strikes

    def observe(self, error: float, *, counts: bool) -> str | None:
        """Take in the error of a step; a sentence if the weight was weakened.

        Args:
            error: mean squared error of the step.
            counts: whether the adversary had a weight in this step.
        """
        if counts and self._reference is None:
            self._reference = self._total / self._seen if self._seen else error
        self._total = _DECAY * self._total + (1 - _DECAY) * error
        self._seen = _DECAY * self._seen + (1 - _DECAY)
        if self._rest:
            self._rest -= 1
            return None
        if not counts or self._reference is None or self.strikes >= _STRIKES:
            return None
        average = self._total / self._seen
        drop = 10 * math.log10(max(average, 1e-30) / max(self._reference, 1e-30))
        if drop <= self.most_drop:
            return None
        self.strikes, self._rest = self.strikes + 1, _REST
        now = f"a factor of {self.factor:g}" if self.factor else "0 from here on"
        return (
            f"The error is {drop:.1f} dB above its value at the adversary's start: its weight is "
            f"{now}. A smaller adversary.weight or a longer adversary.ramp helps."
        )

    def state(self) -> dict[str, Any]:
        """Everything that changes, as plain numbers."""
        return {
            "strikes": self.strikes,
            "total": self._total,
            "seen": self._seen,
            "reference": self._reference,
            "rest": self._rest,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.strikes, self._rest = int(state["strikes"]), int(state["rest"])
        self._total, self._seen = float(state["total"]), float(state["seen"])
        self._reference = state["reference"]


class PlayersWatch:
    """Says when the discriminator wins or sleeps over five lines of the log, once each time.

    Args:
        loss: the adversarial loss.
    """

    LINES = 5
    WINS, EQUAL = 0.98, 0.02

    def __init__(self, loss: AdversarialLoss) -> None:
        self._asleep = ASLEEP[loss]
        self.winning = self.sleeping = 0

    def observe(self, figures: Mapping[str, float]) -> list[str]:
        """Take in the figures of a line; warnings.

        Args:
            figures: ``accuracy``, ``real``, ``fake`` and ``discriminator``; with ``generator``
                where the adversary counts.
        """
        found = []
        self.winning = self.winning + 1 if figures["accuracy"] > self.WINS else 0
        equal = abs(figures["real"] - figures["fake"]) < self.EQUAL
        idle = abs(figures["discriminator"] - self._asleep) < self.EQUAL
        counts = "generator" in figures  # a new discriminator tells nothing yet
        self.sleeping = self.sleeping + 1 if counts and equal and idle else 0
        if self.winning == self.LINES:
            found.append(
                f"The discriminator wins: it tells {figures['accuracy']:.0%} of reconstructions. A "
                "smaller adversary.learning_rate or a larger adversary.lecam weakens it."
            )
        if self.sleeping == self.LINES:
            found.append(
                "The discriminator sleeps: its logits are all alike. A larger "
                "adversary.learning_rate or a wider adversary.discriminator helps."
            )
        return found
