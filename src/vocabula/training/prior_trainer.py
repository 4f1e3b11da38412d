"""The trainer of priors: the nats per code of each batch, by the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vocabula.priors import Condition, Prior
from vocabula.training.base import BaseTrainer

ConditionedBatch = tuple[Tensor, Condition]
"""Codes (B, *grid, *code_shape) and the condition of each."""


class PriorTrainer(BaseTrainer[ConditionedBatch]):
    """Trains a prior, one optimizer step per call, on codes and their conditions.

    Args:
        prior: what learns.
        options: as for `BaseTrainer`: how the run is carried out, optimizer, schedule, accelerator.
    """

    def __init__(self, prior: Prior, **options: Any) -> None:
        super().__init__(prior, **options)
        self.prior = prior

    def micro_batches(self, batch: ConditionedBatch) -> Sequence[ConditionedBatch]:
        """The signals in equal parts."""
        device = self.accelerator.device
        codes, condition = batch[0].to(device, non_blocking=True), batch[1].to(device)
        size = -(-len(codes) // self.options.accumulate)
        places = [slice(first, first + size) for first in range(0, len(codes), size)]
        return [(codes[place], condition.rows(place)) for place in places]

    def forward(self, part: ConditionedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The prior's loss, nats per code."""
        loss: Tensor = self.call(*part)
        return loss, {"loss": loss.detach()}
