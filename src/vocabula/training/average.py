"""Averaged weights: an exponential moving average of the parameters over the steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """w_avg <- d w_avg + (1 - d) w after every step, with d = min(decay, (1 + t) / (10 + t)).

    Parameters are averaged in float32. Buffers are not: codebook statistics are averages
    already, and counters have no mean; `state` takes them from the model as they are.

    Args:
        model: the module whose parameters are averaged.
        decay: d above, in [0, 1). The ramp lets the start be forgotten sooner.

    Source: Polyak and Juditsky, 1992; the ramp is TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._averages = {name: p.detach().float().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the parameters after optimizer step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, current = [], []
        for name, parameter in model.named_parameters():
            averages.append(self._averages[name])
            current.append(parameter.detach().float())
        torch._foreach_lerp_(averages, current, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """The averaged parameters by name."""
        return dict(self._averages)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over averaged parameters, keeping device and memory format."""
        for name, average in self._averages.items():
            average.copy_(state[name])
