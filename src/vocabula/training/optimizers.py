"""Optimizers as components: settings first, parameters later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from vocabula.registry import component

LearningRate = Annotated[float, Gt(0)]
Beta = Annotated[float, Ge(0), Lt(1)]
_FUSED_DEVICES = ("cpu", "cuda")


class OptimizerSettings(ABC):
    """Settings that become a `torch.optim.Optimizer` once the parameters exist."""

    component_kind: ClassVar[str] = "optimizer"

    learning_rate: float

    @abstractmethod
    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""


@component("optimizer", "adam")
@dataclass(kw_only=True)
class Adam(OptimizerSettings):
    """Adam without weight decay.

    Args:
        learning_rate: step size before the schedule's factor.
        beta1: decay of the running mean of the gradient.
        beta2: decay of the running mean of its square.
        epsilon: added to the root of the second moment.

    Source: Kingma and Ba, 2015, Algorithm 1.
    """

    learning_rate: LearningRate = 3e-4
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    epsilon: Annotated[float, Gt(0)] = 1e-8

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""
        chosen = list(parameters)
        return torch.optim.Adam(
            [{"params": chosen}],
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            fused=_can_fuse(chosen),
        )


@component("optimizer", "adamw")
@dataclass(kw_only=True)
class AdamW(OptimizerSettings):
    """Adam with decoupled weight decay, on matrices and kernels only.

    Biases, norms and other vectors are not decayed.

    Args:
        learning_rate: step size before the schedule's factor.
        beta1: decay of the running mean of the gradient.
        beta2: decay of the running mean of its square.
        epsilon: added to the root of the second moment.
        weight_decay: fraction of a weight removed per step, times the learning rate.

    Source: Loshchilov and Hutter, 2019, Algorithm 2.
    """

    learning_rate: LearningRate = 3e-4
    beta1: Beta = 0.9
    beta2: Beta = 0.99
    epsilon: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 1e-2

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""
        groups = _decay_groups(parameters, self.weight_decay)
        return torch.optim.AdamW(
            groups,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            fused=_can_fuse([p for group in groups for p in group["params"]]),
        )


@component("optimizer", "sgd")
@dataclass(kw_only=True)
class SGD(OptimizerSettings):
    """Stochastic gradient descent with momentum.

    Args:
        learning_rate: step size before the schedule's factor.
        momentum: decay of the velocity.
        nesterov: look ahead along the velocity; needs momentum above 0.
        weight_decay: coefficient of the L2 penalty on matrices and kernels.
    """

    learning_rate: LearningRate = 0.1
    momentum: Beta = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0)] = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""
        return torch.optim.SGD(
            _decay_groups(parameters, self.weight_decay),
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
        )


def _decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    chosen = list(parameters)
    decayed = [p for p in chosen if p.ndim >= 2]
    kept = [p for p in chosen if p.ndim < 2]
    groups = [(decayed, weight_decay), (kept, 0.0)]
    return [{"params": group, "weight_decay": decay} for group, decay in groups if group]


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
