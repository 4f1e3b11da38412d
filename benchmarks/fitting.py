"""How the recognisers of experiments are trained, whatever they see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]
"""Draws a batch: what the network sees, and its classes (B,)."""


def fit_classifier(
    net: nn.Module, draw: Draw, steps: int, rate: float, *, decay: float
) -> nn.Module:
    """Train with one-cycle AdamW and smoothed labels; the network, in evaluation mode.

    Args:
        net: gives logits (B, classes).
        draw: the batch of each step, with a generator of seed 0.
        steps: how many.
        rate: the highest learning rate.
        decay: of the weights.
    """
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    net.train()
    for _ in range(steps):
        x, labels = draw(generator)
        loss = cross_entropy(net(x), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()
