"""A linear map that computes in the precision of its input."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Projection(nn.Linear):
    """`torch.nn.Linear` in the dtype of its input, whatever the dtype of its weights.

    Quantizers compute in float32; a bfloat16 module rounds its weights, not its arithmetic.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, in_features) to (*, out_features)."""
        bias = self.bias.to(input.dtype) if self.bias is not None else None
        return F.linear(input, self.weight.to(input.dtype), bias)
