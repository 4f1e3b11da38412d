"""The watch over a prior: it may learn nothing, learn by heart, or ignore its condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

RISE = 0.01
"""Overfitting is told when held-out nats exceed the best by more than this fraction."""
STILL = 0.01
"""A loss that has fallen by less than this fraction has not moved."""
GAIN = 0.001
"""A condition counts as used when it saves at least this fraction of the nats."""


@dataclass(frozen=True, slots=True)
class HeldOutNats:
    """What was measured on held-out codes.

    Attributes:
        step: optimizer steps done.
        nats: nats per code.
        withheld: nats per code without attributes and text; None if there are none, or the prior
            never learned without them.
    """

    step: int
    nats: float
    withheld: float | None = None


@dataclass
class PriorWatch:
    """Reads training losses and held-out nats, and gives each warning once.

    Args:
        order0: nats per held-out code of the codes' frequencies.
        warmup: steps before it speaks.
        condition: what the prior is conditioned on, in words; empty for nothing.
        first: training loss of the first log line.
        best: the best measurement.
        best_loss: the training loss when it was made.
        spoken: the warnings already given.
    """

    order0: float
    warmup: int
    condition: str = ""
    first: float | None = None
    best: HeldOutNats | None = None
    best_loss: float = 0.0
    spoken: list[str] = field(default_factory=list)

    def observe(self, step: int, loss: float, measured: HeldOutNats | None) -> list[str]:
        """Take in a log line and return the warnings that it gives rise to.

        Args:
            step: optimizer steps done.
            loss: mean training loss since the last line, nats per code.
            measured: what was measured on held-out codes at this step, if anything was.
        """
        found = {}
        first = self.first if self.first is not None else loss
        self.first = first
        if step >= self.warmup and loss > first * (1 - STILL) and loss > self.order0:
            found["still"] = (
                f"The loss has not moved: {first:.4g} nats per code at first, {loss:.4g} now. A "
                "larger optimizer.learning_rate, or a smaller one with training.clip_norm=1, helps."
            )
        if measured is not None:
            found |= self._held_out(loss, measured)
        new = {name: text for name, text in found.items() if name not in self.spoken}
        self.spoken += new
        return list(new.values())

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "first": self.first,
            "best": asdict(self.best) if self.best else None,
            "best_loss": self.best_loss,
            "spoken": list(self.spoken),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a captured state."""
        self.first, self.best_loss = state["first"], state["best_loss"]
        self.best = HeldOutNats(**state["best"]) if state["best"] else None
        self.spoken = list(state["spoken"])

    def _held_out(self, loss: float, measured: HeldOutNats) -> dict[str, str]:
        found = {}
        best = self.best
        if best is None or measured.nats < best.nats:
            self.best, self.best_loss = measured, loss
        elif measured.nats > best.nats * (1 + RISE) and loss < self.best_loss:
            found["overfit"] = (
                f"The prior learns its training codes by heart: held-out nats per code rose from "
                f"{best.nats:.4g} at step {best.step} to {measured.nats:.4g}, while the training "
                f"loss fell. The weights of step {best.step} are kept. More data, a larger "
                "prior.dropout or a smaller prior.hidden help."
            )
        if measured.step < self.warmup:
            return found
        if measured.nats > self.order0:
            found["order0"] = (
                f"Held-out codes cost {measured.nats:.4g} nats each, more than by their mere "
                f"frequencies ({self.order0:.4g}): the prior has learned nothing yet. More "
                "training.steps or another optimizer.learning_rate help."
            )
        used = measured.withheld is None or measured.nats < measured.withheld * (1 - GAIN)
        if self.condition and not used:
            found["ignored"] = (
                f"The {self.condition} makes no difference: {measured.nats:.4g} nats per code with "
                f"it, {measured.withheld:.4g} without. Check that it belongs to the images; a "
                "smaller conditioning.dropout or more training.steps help."
            )
        return found
