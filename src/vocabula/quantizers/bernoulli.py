"""The Bernoulli quantizer: each bit of the code is drawn, and the joint distribution is exact."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from vocabula.functional import masked_mean, pack_bits
from vocabula.functional.binary import binary_entropy, joint_probabilities
from vocabula.functional.joined_draws import joined_noise
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.initialization import Normal
from vocabula.quantizers.projection import Projection
from vocabula.registry import component
from vocabula.types import Quantized

MOST_BITS = 16


@component("quantizer", "bernoulli")
class BernoulliQuantizer(Quantizer):
    """Independent bits whose joint distribution over all codes is exact, with free bits.

    ::

        l = W z + b (bits,)      p(k|z) = prod_i sigma(l_i)^(b_ki) sigma(-l_i)^(1 - b_ki)
        training:    bit_i drawn, 1 with probability sigma(l_i)      evaluation: bit_i = [l_i > 0]
        code = sum_i bit_i 2^(bits - 1 - i)                          y = sum_k p(k|z) E_k
        values = E[code], with the gradient of y
        kl = mean_n max(bits log 2 - sum_i H(sigma(l_ni)) - free_bits log 2, 0)        nats
        loss = kl_weight kl

    The first bit is the most significant. The codebook E is a parameter that learns from the
    gradient of y. `encode` is deterministic. A vector may carry `free_bits` at no cost.

    Args:
        dim: D, width of the vectors and codewords.
        bits: bits of a code, so that the codebook has 2^bits codewords.
        free_bits: bits per vector that the KL term lets pass.
        kl_weight: weight of the KL term.
        channel_dim: where the vectors' components are.
        auto_update: has no effect, since nothing is learned outside the gradient.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch). p takes (N, 2^bits) memory.

    Raises:
        OptionError: a size, weight or number of bits out of range.

    Example:
        >>> quantizer = BernoulliQuantizer(8, bits=4)
        >>> quantizer(torch.randn(4, 8)).codes.shape
        torch.Size([4])

    Source:
        Fleuret 2025, "The Free Transformer", arXiv:2510.17558, sections 3.3 and 3.4; there the
        codebook is the linear map after a one-hot vector, and the logits come straight from the
        encoder. Free bits: Kingma et al. 2016, section 4 (here per vector).
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        *,
        bits: Annotated[int, Ge(1), Le(MOST_BITS)] = 8,
        free_bits: Annotated[float, Ge(0)] = 1.0,
        kl_weight: Annotated[float, Ge(0)] = 1.0,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        super().__init__(dim, (2**bits,), (), channel_dim=channel_dim, auto_update=auto_update)
        self.bits_per_code = bits
        self.free_bits = free_bits
        self.kl_weight = kl_weight
        self.to_bits: nn.Module = Projection(dim, bits)
        self.codebook = nn.Parameter(Normal().start(2**bits, dim))

    def _codewords(self) -> Tensor:
        return self.codebook.to(self.compute_dtype)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        logits, codebook = self.to_bits(z), self._codewords()
        if codes is None:
            codes = self._drawn(logits.detach()) if self.training else pack_bits(logits > 0)
        mixed = joint_probabilities(logits.t()).t() @ codebook
        chosen = F.embedding(codes, codebook.detach())
        self._track(codes, mask, mixed, chosen)
        kl = self._kl(logits, mask)
        # Adding an exact zero keeps the codeword's bits and brings the mixture's gradient.
        values = chosen + (mixed - mixed.detach())
        return Quantized(values, codes, self.kl_weight * kl, {"kl": kl})

    def _drawn(self, logits: Tensor) -> Tensor:
        return pack_bits(joined_noise(logits, "uniform") < torch.sigmoid(logits))

    def _kl(self, logits: Tensor, mask: Tensor | None) -> Tensor:
        full = self.bits_per_code * math.log(2) - binary_entropy(logits).sum(-1)
        return masked_mean(F.relu(full - self.free_bits * math.log(2)), mask)

    def _encode(self, z: Tensor) -> Tensor:
        return pack_bits(self.to_bits(z) > 0)

    def _decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self._codewords())

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """The `count` most probable codes of each row, the most probable first."""
        joint = joint_probabilities(self.to_bits(z).t()).t()
        return joint.sort(dim=-1, descending=True, stable=True).indices[:, :count]

    def distances(self, z: Tensor, codes: Tensor) -> Tensor:
        """-log p(code | z) in nats (N, c) of codes (N, c) for z (N, D)."""
        self._check_codes(codes)
        logits = self.to_bits(z).unsqueeze(1)
        shifts = torch.arange(self.bits_per_code - 1, -1, -1, device=codes.device)
        signs = 2 * ((codes.unsqueeze(-1) >> shifts) & 1) - 1
        return -F.logsigmoid(signs * logits).sum(-1)
