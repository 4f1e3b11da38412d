"""The rate term of a codebook: the search pays for the bits of a code, as well as for its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from vocabula.quantizers.precision import KeepDtype
from vocabula.registry import component

#: Added to every averaged share: no code costs more than about 20 bits.
LEAST_SHARE = 2.0**-20


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
        null: whether codeword 0 is pinned to the zero vector, so that "nothing here" costs few bits
            wherever it is frequent; for residual stages and latents around zero.

    Source:
        Chou, Lookabaugh & Gray 1989, "Entropy-constrained vector quantization".
    """

    component_kind = "rate"

    weight: Annotated[float, Gt(0)]
    decay: Annotated[float, Ge(0), Lt(1)] = 0.99
    null: bool = False

    def state(self, codebook_size: int) -> RateState:
        """The state for a codebook of this size."""
        return RateState(self, codebook_size)


class RateState(KeepDtype, nn.Module):
    """The averaged shares of the codes; see `RateTerm`.

    Attributes:
        share: (K,) float32, sums to 1.
        scale: a factor on the weight, 1 unless a caller wants files smaller (above) or better.
    """

    kept_buffers = ("share",)
    share: Tensor

    def __init__(self, rule: RateTerm, codebook_size: int) -> None:
        super().__init__()
        self.rule = rule
        self.scale = 1.0
        self.register_buffer(
            "share", torch.full((codebook_size,), 1 / codebook_size, dtype=torch.float32)
        )

    def bits(self) -> Tensor:
        """Bits (K,) of each code, float32."""
        share = self.share + LEAST_SHARE
        return -(share / share.sum()).log2()

    def penalties(self) -> Tensor:
        """What each code (K,) adds to the squared error: ``scale * weight * bits``."""
        return self.scale * self.rule.weight * self.bits()

    def vectors(self, z: Tensor) -> Tensor:
        """Vectors (..., D) as the search takes them: (..., D + 1), 0 in the last place."""
        return F.pad(z, (0, 1))

    def codewords(self, codebook: Tensor) -> Tensor:
        """The codebook (K, D) as the search takes it: (K, D + 1)."""
        return torch.cat([codebook, self.penalties().sqrt().to(codebook)[:, None]], 1)

    @torch.no_grad()
    def update(self, counts: Tensor) -> None:
        """Average the shares of an update; `counts` (K,) are the hits over all processes."""
        total = counts.sum()
        fresh = counts / total.clamp_min(torch.finfo(counts.dtype).tiny)
        decay = torch.where(total > 0, torch.full_like(total, self.rule.decay), 1.0)
        self.share.mul_(decay).add_((1 - decay) * fresh)

    @torch.no_grad()
    def restart(self, where: Tensor, counts: Tensor) -> None:
        """Where () is true, start over from a codebook whose codewords have `counts` (K,) hits."""
        share = counts.float() / counts.sum().clamp_min(1)
        self.share.copy_(torch.where(where, share, self.share))

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',)."""
        share = self.share[kept]
        self.share = share / share.sum()
