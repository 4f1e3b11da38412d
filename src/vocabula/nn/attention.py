"""Self-attention between the positions of a feature map."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from vocabula.nn.normalization import GroupNorm


class SpatialAttention(nn.Module):
    """Every position attends to every other: x + proj(softmax(q k^T / sqrt(C)) v).

    One head; q, k and v are 1 x 1 convolutions of the group-normalized input.

    Args:
        channels: channels C of the feature map.
        groups: groups of the normalization; must divide `channels`.
        owner: the component that an error message names.

    Shape:
        (B, channels, H, W) -> the same. Time grows with (H W)^2.

    Raises:
        OptionError: `groups` does not divide `channels`.

    Example:
        >>> import torch
        >>> SpatialAttention(32, groups=8)(torch.zeros(1, 32, 4, 4)).shape
        torch.Size([1, 32, 4, 4])

    Source: Esser et al. 2021, "Taming Transformers" (VQ-GAN), the encoder's attention block.
    """

    def __init__(self, channels: int, *, groups: int = 32, owner: str = "SpatialAttention") -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, owner=owner)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Let the positions of x (B, channels, H, W) attend to each other."""
        qkv = self.query_key_value(self.norm(x)).flatten(2).transpose(1, 2)
        q, k, v = qkv.unsqueeze(1).chunk(3, dim=-1)
        attended = scaled_dot_product_attention(q, k, v).squeeze(1)
        return x + self.project(attended.transpose(1, 2).reshape(x.shape))
