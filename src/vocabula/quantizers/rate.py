"""The rate term of a codebook: the search pays for the bits of a code, as well as for its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from vocabula.quantizers.precision import KeepDtype
from vocabula.registry import component

#: Added to every averaged share: no code costs more than about 20 bits.
LEAST_SHARE = 2.0**-20
GOLDEN = (5**0.5 - 1) / 2
"""Its multiples fill an interval evenly, modulo 1."""


@component("rate", "rate")
@dataclass(frozen=True)
class RateTerm:
    """Entropy-constrained assignment: a codeword's bits count beside its squared error.

    ::

        k* = argmin_k ||z - e_k||^2 + weight * bits_k        bits_k = -log2 p_k

    where p_k is the moving average of the shares of the codes in training, which starts uniform.
    As bits are not negative, this is the nearest codeword in one more dimension: z has 0 there and
    e_k has sqrt(weight * bits_k), so that the exact search serves unchanged. Codewords that are
    hardly ever worth their bits go out of use, as they should: a codebook with a rate term has no
    revival.

    Args:
        weight: lambda, squared error (summed over components) that one bit is worth.
        decay: weight of the past in the averaged shares.
        contexts: count tables C. A vector's table follows from its activity a, the squared size of
            what is decoded around it already, by coarser levels, earlier stages or the part before:
            table min(C - 1, ceil(log4(1 + a / weight))). Decoding needs no table.
        spread: in training the weight changes from update to update, between weight / spread and
            weight spread, all ratios alike, so that one model serves many rates. All codebooks that
            learn together change together.
        null: whether codeword 0 is pinned to the zero vector, so that "nothing here" costs few bits
            wherever it is frequent; for residual stages and latents around zero.

    Source:
        Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector quantization".
    """

    component_kind = "rate"

    weight: Annotated[float, Gt(0)]
    decay: Annotated[float, Ge(0), Lt(1)] = 0.99
    null: bool = False
    contexts: Annotated[int, Ge(1), Le(16)] = 1
    spread: Annotated[float, Ge(1)] = 1.0

    def state(self, codebook_size: int) -> RateState:
        """The state for a codebook of this size."""
        return RateState(self, codebook_size)


class RateState(KeepDtype, nn.Module):
    """The averaged shares of the codes; see `RateTerm`.

    Attributes:
        share: (K,) float32, sums to 1; (C, K) with C > 1 contexts, where each row does.
        scale: a factor on the weight, 1 unless a caller wants files smaller (above) or better.
    """

    kept_buffers = ("share",)
    share: Tensor
    updates: Tensor

    def __init__(self, rule: RateTerm, codebook_size: int) -> None:
        super().__init__()
        self.rule = rule
        self.scale = 1.0
        shape = (codebook_size,) if rule.contexts == 1 else (rule.contexts, codebook_size)
        self.register_buffer("share", torch.full(shape, 1 / codebook_size, dtype=torch.float32))
        if rule.spread > 1:
            self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def bits(self) -> Tensor:
        """Bits of each code (K,), or (C, K), float32."""
        share = self.share + LEAST_SHARE
        return -(share / share.sum(-1, keepdim=True)).log2()

    def penalties(self) -> Tensor:
        """What each code adds to the squared error (K,), or (C, K): ``scale * weight * bits``."""
        return self.scale * self.rule.weight * self.bits() * self._factor()

    def _factor(self) -> Tensor | float:
        """What multiplies the weight at this update; 1 outside training."""
        if self.rule.spread == 1 or not self.training:
            return 1.0
        place = (self.updates.double() * GOLDEN).frac() * 2 - 1
        return (place * math.log(self.rule.spread)).exp().float()

    def contexts(self, activity: Tensor | None, rows: int) -> Tensor | None:
        """The table (N,) of each of `rows` vectors of an activity (N,); None for a single table."""
        if self.rule.contexts == 1:
            return None
        if activity is None:
            return torch.zeros(rows, dtype=torch.int64, device=self.share.device)
        found = (1 + activity.detach() / self.rule.weight).log2().div(2).ceil()
        return found.clamp(0, self.rule.contexts - 1).long()

    def of_codes(self, values: Tensor, codes: Tensor, contexts: Tensor | None) -> Tensor:
        """The entries (N,) of a table (K,), or (C, K), of codes (N,) in contexts (N,)."""
        return values[codes] if contexts is None else values[contexts, codes]

    def search(
        self,
        find: Callable[[Tensor, Tensor], Tensor],
        z: Tensor,
        codebook: Tensor,
        contexts: Tensor | None,
    ) -> Tensor:
        """What a search `find` gives (N, ...) for vectors z (N, D) and a codebook (K, D).

        It is called with one more dimension: 0 in the vectors and sqrt(penalty) in the codebook;
        once for all rows, or once for the rows of each context.
        """
        vectors, roots = F.pad(z, (0, 1)), self.penalties().sqrt().to(codebook)
        if contexts is None:
            return find(vectors, torch.cat([codebook, roots[:, None]], 1))
        books = [torch.cat([codebook, root[:, None]], 1) for root in roots]
        if torch.compiler.is_compiling():  # a traced graph does not know how many rows each has
            every = torch.stack([find(vectors, book) for book in books], 1)
            return every[torch.arange(z.shape[0], device=z.device), contexts]
        order = contexts.argsort(stable=True)
        parts = vectors[order].split(contexts.bincount(minlength=len(books)).tolist())
        pairs = zip(parts, books, strict=True)
        kept = [find(part, book) for part, book in pairs if len(part)] or [find(vectors, books[0])]
        return torch.cat(kept)[order.argsort()]

    def counted(self, codes: Tensor, size: int, mask: Tensor | None, contexts: Tensor) -> Tensor:
        """Hits (C, K) of codes (N,) in contexts (N,), by the weights or the mask (N,)."""
        weight = torch.ones_like(codes, dtype=torch.float32) if mask is None else mask.float()
        flat = torch.zeros(self.share.numel(), device=codes.device)
        return flat.index_add_(0, contexts * size + codes, weight).view_as(self.share)

    @torch.no_grad()
    def update(self, counts: Tensor) -> None:
        """Average the shares of an update.

        Args:
            counts: the hits over all processes (K,), or (C, K); a table without any stays.
        """
        total = counts.sum(-1, keepdim=True)
        fresh = counts / total.clamp_min(torch.finfo(counts.dtype).tiny)
        decay = torch.where(total > 0, torch.full_like(total, self.rule.decay), 1.0)
        self.share.mul_(decay).add_((1 - decay) * fresh)
        if self.rule.spread > 1:
            self.updates += 1

    @torch.no_grad()
    def restart(self, where: Tensor, counts: Tensor) -> None:
        """Where () is true, start over from a codebook whose codewords have `counts` (K,) hits."""
        share = counts.float() / counts.sum().clamp_min(1)
        self.share.copy_(torch.where(where, share, self.share))

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',)."""
        share = self.share[..., kept]
        self.share = share / share.sum(-1, keepdim=True)
