"""Attention with dropout in bounded memory, for training a Transformer on a CPU.

Without a fused kernel, which on a CPU takes no dropout, torch keeps the B H L^2 weights of a layer
three times over until the backward pass: 64 sequences of 800 tokens, 4 heads and 4 layers
take 8 GB. Here the heads of long sequences are computed one by one, and again in the backward pass,
so that the weights of one head of one layer are there at a time.

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "vocabula_bounded"
"""What transformers calls this attention; it is in no saved file."""
LONG = 256
"""Tokens up to which sequences are short: their weights need little memory."""


def bounded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """The ``sdpa`` attention of transformers, head by head where its weights would be kept.

    Args:
        module: the layer.
        query: (B, H, L, D).
        key: (B, H, L, D), or fewer heads.
        value: as the key.
        attention_mask: None for causal attention.
        dropout: of the weights.
        scaling: of the scores; None: D^(-1/2).
        more: what else ``sdpa`` takes.

    Shape:
        -> (B, L, H, D).
    """
    kept = query.is_cpu and dropout > 0 and query.shape[2] > LONG and torch.is_grad_enabled()
    if not kept or attention_mask is not None or key.shape != query.shape:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return found

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling
        )

    parts = zip(*(x.split(1, 1) for x in (query, key, value)), strict=True)
    heads = [checkpoint(attend, *one, use_reentrant=False) for one in parts]
    return torch.cat(heads, 1).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, bounded_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
