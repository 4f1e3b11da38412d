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
from vocabula.functional.modes import readable
from vocabula.quantizers.learning import Codebook
from vocabula.quantizers.local_state import LocalState
from vocabula.quantizers.pending import VAIN, Pending, filled
from vocabula.quantizers.precision import KeepDtype
from vocabula.registry import component

#: The shortest way is 2^-6: a step still large beside the rounding of the distances.
MOST_HALVINGS = 6


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

    In many dimensions a single vector is farther from all others than the means that other
    codewords have become, so that a codeword placed on it wins nothing. Each replacement in vain
    therefore halves the way: after n of them the codeword starts 2^-n of the way from the drawn
    vector's own codeword to the vector, and splits that codeword's cell. A codeword that reaches
    the threshold starts with whole vectors again.

    Args:
        threshold: fraction of the fair share below which a codeword counts as unused.
        patience: updates below the threshold before it is replaced, each of at least K vectors.
        decay: decay of the moving average of hits.

    Source:
        Jukebox (Dhariwal et al. 2020, section 3.1) replaces below an absolute count; here the
        count is relative, so that neither small nor large batches mislead it. Splitting a cell by a
        small step is Linde, Buzo & Gray 1980, section II; halving the step is ours.
    """

    component_kind = "revival"

    threshold: Annotated[float, Gt(0), Lt(1)] = 0.5
    patience: Annotated[int, Ge(1)] = 1
    decay: Annotated[float, Gt(0), Lt(1)] = 0.99

    def state(self, codebook_size: int, dim: int) -> RevivalState:
        """The state for a codebook of this size."""
        return RevivalState(self, codebook_size, dim)


class RevivalState(LocalState, KeepDtype, Pending):
    """Shares of the codewords, how long each was low, and replacement vectors.

    `vain` (K,) counts the replacements in a row that did not help. A state dict holds it only where
    it is not all zero, and an exported model never: it matters to the next updates alone.
    """

    surviving = (VAIN,)
    kept_buffers = ("share", "low_for", "vain", "drawn", "seen")
    share: Tensor
    low_for: Tensor
    vain: Tensor
    drawn: Tensor
    seen: Tensor

    def __init__(self, rule: Revival, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.rule = rule
        zeros = functools.partial(torch.zeros, dtype=torch.float32)
        self.register_buffer("share", zeros(codebook_size) + 1)
        self.register_buffer("low_for", zeros(codebook_size))
        self.register_buffer("vain", zeros(codebook_size), persistent=False)
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
        self.vain.mul_(~where)

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',); their fair share of the hits grows."""
        self.share = self.share[kept] * (len(kept) / len(self.share))
        self.low_for = self.low_for[kept]
        self.vain = self.vain[kept]
        self.drawn = self.drawn[kept.to(self.drawn.device)]

    @torch.no_grad()
    def observe(self, z: Tensor, mask: Tensor | None, chosen: Tensor | None = None) -> None:
        """Keep one vector per codeword of all z (N, D) since the last `revive`.

        It is drawn uniformly of the rows inside the mask (N,), or in proportion to weights (N,). In
        a group it is drawn from the vectors of all processes, and the process that has it keeps it;
        the others keep zeros. With `chosen` (N, D), the codewords of z, codewords that were
        replaced in vain get a place on the way from there to the vector.
        """
        if z.shape[0] == 0 and distributed.world_size() == 1:
            return
        self.follow(z)
        uniform = torch.rand(2, len(self.share), dtype=torch.float32, device=z.device)
        uniform = distributed.broadcast(uniform)
        self.seen.copy_(distributed.broadcast(self.seen))  # a file restores it on the first process
        picked, mine, fresh = draw_rows(uniform[0], mask, len(z))
        vectors = self._placed(z, chosen, picked)
        if mine is not None:
            vectors = torch.where(mine[:, None], vectors, 0.0)
        self.seen.add_(fresh)
        take = uniform[1] * self.seen < fresh
        self.drawn.copy_(torch.where(take[:, None], vectors, self.drawn))

    def _placed(self, z: Tensor, chosen: Tensor | None, picked: Tensor) -> Tensor:
        """Where codewords start that are replaced by the picked (K,) of z (N, D); see `observe`."""
        z = z if len(z) else z.new_zeros(1, z.shape[1])
        z = z.index_select(0, picked).to(self.drawn)
        if chosen is None or not len(chosen):
            return z
        if z.is_cpu and readable(self.vain) is not None:  # few are in vain: compute those alone
            some = self.vain.nonzero()[:, 0]
            short = 1 - torch.exp2(-self.vain[some])
            way = short[:, None] * (z[some] - chosen[picked[some]].to(z))
            return z.index_add_(0, some, way, alpha=-1) if len(some) else z
        short = 1 - torch.exp2(-self.vain)  # exactly 0 where nothing was in vain: z keeps its bits
        return z - short[:, None] * (z - chosen[picked].to(z))

    @torch.no_grad()
    def revive(self, book: Codebook, counts: Tensor, settled: Tensor) -> None:
        """Replace the dead codewords of `book`, given the hits (K,) of this update.

        Until the book is `settled` (), its codewords are fitted again, and nothing is in vain.
        """
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
        nothing = _surely_none(dead)
        if not nothing:
            book.replace(dead, drawn, self.rule.threshold * fair)
            self.share.copy_(torch.where(dead, self.rule.threshold, self.share))
            self.low_for.mul_(~dead)
        if not (nothing and _surely_none(self.vain)):
            again = torch.where(dead, (self.vain + 1).clamp(max=MOST_HALVINGS), self.vain)
            self.vain.copy_(torch.where((low | (total == 0)) & settled, again, 0.0))
        self.seen.zero_()


def _surely_none(marks: Tensor) -> bool:
    """Whether all marks are zero, so that work of no effect can be left out.

    It is asked only where reading is free: an accelerator would wait, a traced graph cannot branch.
    """
    values = readable(marks) if marks.is_cpu else None
    return values is not None and not bool(values.any())
