"""Time jitter: in training, vectors of a signal trade places with their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TimeJitter(nn.Module):
    """In training each vector is that of its left or right neighbour, each with probability p / 2.

    The decoder then cannot rely on a single vector, so that codes last as long as what they stand
    for, such as a phoneme. At an end, where one neighbour is missing, a vector stays. In evaluation
    nothing changes.

    Args:
        probability: p, of a replacement.

    Shape:
        (B, dim, n) -> the same.

    Source: Chorowski et al. 2019, "Unsupervised speech representation learning using WaveNet
    autoencoders", section III-E, with p = 0.12.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Jitter vectors z (B, dim, n), of which a mask (B, n) says which are a signal's."""
        batch, _, count = z.shape
        if not (self.training and self.probability and count):
            return z
        draw = torch.rand(batch, count, device=z.device)
        move = (draw < self.probability).long() - 2 * (draw < self.probability / 2).long()
        here = torch.arange(count, device=z.device)
        last = here.new_full((batch, 1), count - 1) if mask is None else mask.sum(1, True) - 1
        taken = torch.minimum((here + move).clamp_min(0), last.clamp_min(0))
        return z.gather(2, taken.unsqueeze(1).expand_as(z))
