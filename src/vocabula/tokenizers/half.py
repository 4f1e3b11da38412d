"""Weights rounded to 16 bits: a model of half the size that computes in 32 bits as before."""

from __future__ import annotations

import torch
from torch import nn

_ROUNDED = ("weight", "bias")
"""Last parts of the names of tensors that a rounding concerns, beside all parameters."""


@torch.no_grad()
def round_to_half(module: nn.Module) -> None:
    """Round parameters and codebooks to the nearest numbers of float16, in place.

    Their type stays float32. Counts, averages and other statistics stay as they are, and so does
    a tensor with a number beyond float16, 65,504.

    Args:
        module: a tokenizer or a prior. A tokenizer has another fingerprint afterwards, unless all
            its weights were numbers of float16 before.
    """
    parameters = {name for name, _ in module.named_parameters()}
    for name, tensor in module.state_dict().items():
        if name not in parameters and name.rpartition(".")[2] not in _ROUNDED:
            continue
        if tensor.dtype == torch.float32:
            rounded = tensor.half().float()
            if bool(rounded.isfinite().all()):
                tensor.copy_(rounded)
