"""Maps between vectors and codewords: linear, in the precision of the input, and to norm 1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vocabula.quantizers.shards import OwnParameters

#: Below this norm a vector is scaled by 1e4 instead: the gradient of scaling is one over the norm.
SMALLEST_NORM = 1e-4


def unit(x: Tensor) -> Tensor:
    """Vectors (*, D) scaled to norm 1; those shorter than `SMALLEST_NORM` get a smaller norm."""
    return F.normalize(x, dim=-1, eps=SMALLEST_NORM)


class Projection(OwnParameters, nn.Linear):
    """`torch.nn.Linear` in the dtype of its input, for any dtype of its weights.

    Quantizers compute in float32; a bfloat16 module rounds its weights, not its arithmetic.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, in_features) to (*, out_features)."""
        bias = self.bias.to(input.dtype) if self.bias is not None else None
        return F.linear(input, self.weight.to(input.dtype), bias)
