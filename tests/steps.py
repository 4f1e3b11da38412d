"""Runs to which something happens before a step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from vocabula.training.base import BaseTrainer


def before_step(
    patch: pytest.MonkeyPatch, step: int, action: Callable[[Any], object], *, of_all: bool = False
) -> None:
    """Call an action with the trainer before the step that follows `step` finished ones.

    Args:
        patch: ends it.
        step: from 0 on.
        action: gets the trainer.
        of_all: count the steps of all trainers from now on, not those of each.
    """
    original, calls = BaseTrainer.train_step, [0]

    def train_step(self: BaseTrainer[Any], batch: Any) -> Any:
        if (calls[0] if of_all else self.step) == step:
            action(self)
        calls[0] += 1
        return original(self, batch)

    patch.setattr(BaseTrainer, "train_step", train_step)


def stop_at(
    patch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT, *, of_all: bool = False
) -> None:
    """Send the process a signal before a step; see `before_step`."""
    before_step(patch, step, lambda _: os.kill(os.getpid(), number), of_all=of_all)
