"""The ratio of two gradients at the reconstruction, averaged and capped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.99
_TINY = 1e-12


class Balance(nn.Module):
    """How long the gradient of the reconstruction loss is, relative to the adversary's.

    ::

        ratio = min(most, mean |g_reconstruction| / mean |g_adversary|)

    Means are running averages of a decay of 0.99, corrected for their start. Both gradients are
    those at the reconstruction, so that nothing passes through the decoder for it.

    Args:
        most: largest ratio.

    Source: Défossez et al. 2022, "High Fidelity Neural Audio Compression", section 3.4; with a cap.
    """

    averages: Tensor

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most
        # of the two norms and, last, of ones: how much the averages have taken in
        self.register_buffer("averages", torch.zeros(3))

    @torch.no_grad()
    def update(self, squares: Tensor) -> None:
        """Take in the squared norms (2,) of the two gradients; not finite ones change nothing."""
        norms = squares.float().sqrt()
        new = torch.cat([norms, norms.new_ones(1)])
        moved = torch.lerp(new, self.averages, DECAY)
        self.averages.copy_(torch.where(norms.isfinite().all(), moved, self.averages))

    @property
    def ratio(self) -> Tensor:
        """The ratio (), 0 before the first update."""
        reconstruction, adversary, seen = self.averages.unbind()
        found = (reconstruction / adversary.clamp_min(_TINY)).clamp_max(self.most)
        return torch.where(seen > 0, found, 0.0)
