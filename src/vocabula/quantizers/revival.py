"""Dead codewords are replaced by vectors that the encoder currently emits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from vocabula.functional import distributed
from vocabula.functional.joined_draws import draw_rows
from vocabula.quantizers.learning import Codebook
from vocabula.quantizers.local_state import LocalState
from vocabula.quantizers.pending import Pending, filled
from vocabula.quantizers.precision import KeepDtype
from vocabula.registry import component


@component("revival", "revival")
@dataclass(frozen=True)
class Revival:
    """Replaces codewords that stay below a fraction of their fair share of the vectors.

    The fair share is N / K hits an update. A codeword is dead when the moving average of its
    hits over its fair share has stayed below `threshold` for `patience` updates (longer by K / N if
    an update has fewer vectors than codewords); it is then replaced by a vector drawn from the
    vectors of this update, over all processes. It restarts at the threshold, so that a codeword
    without hits is given up at once and another vector is tried. The rule is the same for any batch
    size and codebook size.

    Args:
        threshold: fraction of the fair share below which a codeword counts as unused.
        patience: updates below the threshold before it is replaced, each of at least K vectors.
        decay: decay of the moving average of hits.

    Source:
        Jukebox (Dhariwal et al. 2020, section 3.1) replaces below an absolute count; here the
        count is relative, so that neither small nor large batches mislead it.
    """

    component_kind = "revival"

    threshold: Annotated[float, Gt(0), Lt(1)] = 0.5
    patience: Annotated[int, Ge(1)] = 1
    decay: Annotated[float, Gt(0), Lt(1)] = 0.99

    def state(self, codebook_size: int, dim: int) -> RevivalState:
        """The state for a codebook of this size."""
        return RevivalState(self, codebook_size, dim)


class RevivalState(LocalState, KeepDtype, Pending):
    """Shares of the codewords, how long each was low, and replacement vectors."""

    kept_buffers = ("share", "low_for", "drawn", "seen")
    share: Tensor
    low_for: Tensor
    drawn: Tensor
    seen: Tensor

    def __init__(self, rule: Revival, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.rule = rule
        zeros = functools.partial(torch.zeros, dtype=torch.float32)
        self.register_buffer("share", zeros(codebook_size) + 1)
        self.register_buffer("low_for", zeros(codebook_size))
        self.keep_local("drawn", zeros(codebook_size, dim), persistent=False)
        self.keep_local("seen", zeros(()), persistent=False)

    def _waits(self) -> bool:
        return filled(self.seen)  # drawn vectors stay after an update

    @torch.no_grad()
    def restart(self, where: Tensor, counts: Tensor) -> None:
        """Where () is true, start over from a codebook whose codewords have `counts` (K,) hits."""
        share = (counts * len(counts)).float() / counts.sum().clamp_min(1)
        self.share.copy_(torch.where(where, share, self.share))
        self.low_for.mul_(~where)

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',); their fair share of the hits grows."""
        self.share = self.share[kept] * (len(kept) / len(self.share))
        self.low_for = self.low_for[kept]
        self.drawn = self.drawn[kept.to(self.drawn.device)]

    @torch.no_grad()
    def observe(self, z: Tensor, mask: Tensor | None) -> None:
        """Keep one vector per codeword of all z (N, D) since the last `revive`.

        It is drawn uniformly of the rows inside the mask (N,), or in proportion to weights (N,). In
        a group it is drawn from the vectors of all processes, and the process that has it keeps it;
        the others keep zeros.
        """
        if z.shape[0] == 0 and distributed.world_size() == 1:
            return
        self.follow(z)
        uniform = torch.rand(2, len(self.share), dtype=torch.float32, device=z.device)
        uniform = distributed.broadcast(uniform)
        self.seen.copy_(distributed.broadcast(self.seen))  # a file restores it on the first process
        picked, mine, fresh = draw_rows(uniform[0], mask, len(z))
        vectors = (z if len(z) else z.new_zeros(1, z.shape[1]))[picked].to(self.drawn)
        if mine is not None:
            vectors = torch.where(mine[:, None], vectors, 0.0)
        self.seen.add_(fresh)
        take = uniform[1] * self.seen < fresh
        self.drawn.copy_(torch.where(take[:, None], vectors, self.drawn))

    @torch.no_grad()
    def revive(self, book: Codebook, counts: Tensor) -> None:
        """Replace the dead codewords of `book`, given the hits (K,) of this update."""
        total = counts.sum()
        fair = (total / len(counts)).clamp_min(1e-12)
        decay = torch.where(total > 0, torch.full_like(self.seen, self.rule.decay), 1.0)
        self.share.mul_(decay).add_((1 - decay) * counts / fair)
        low = (self.share < self.rule.threshold) & (total > 0)
        waited = self.low_for + fair.clamp(max=1)
        self.low_for.copy_(torch.where(low, waited, 0.0))
        # A tolerance, because K / N steps of N / K may sum to less than 1 by rounding.
        dead = self.low_for > self.rule.patience - 1e-4
        drawn = distributed.all_reduce_sum(self.drawn)
        book.replace(dead, drawn, self.rule.threshold * fair)
        self.share.copy_(torch.where(dead, self.rule.threshold, self.share))
        self.low_for.mul_(~dead)
        self.seen.zero_()
