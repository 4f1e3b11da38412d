"""Residual blocks: the VQ-VAE's bottlenecked one and the VQ-GAN's normalized one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu, silu

from vocabula.nn.normalization import GroupNorm


class BottleneckBlock(nn.Module):
    """The VQ-VAE's residual block: x + conv1x1(relu(conv3x3(relu(x)))), without biases.

    Args:
        channels: channels in and out.
        inner: channels between the two convolutions.

    Shape:
        (B, channels, H, W) -> the same.

    Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", section 4.1.
    The authors' notebook gives the convolutions biases; its usual PyTorch form, followed here,
    has none.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.pointwise = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's correction to x (B, channels, H, W)."""
        return x + self.pointwise(relu(self.spatial(relu(x))))


def bottleneck_stack(channels: int, inner: int, layers: int) -> nn.Sequential:
    """Chain `layers` bottleneck blocks and a final ReLU: the VQ-VAE's residual stack.

    Args:
        channels: channels in and out.
        inner: channels inside every block.
        layers: number of blocks; 0 leaves only the ReLU.
    """
    blocks = [BottleneckBlock(channels, inner) for _ in range(layers)]
    return nn.Sequential(*blocks, nn.ReLU())


class NormalizedBlock(nn.Module):
    """The VQ-GAN's residual block: skip(x) + conv(drop(silu(norm(conv(silu(norm(x))))))).

    ``skip`` is a 1 x 1 convolution where the number of channels changes, else the identity.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        groups: groups of the normalizations; must divide both.
        dropout: probability in [0, 1) that a value before the last convolution becomes 0.
        owner: the component that an error message names.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W).

    Raises:
        OptionError: `groups` does not divide the channels.

    Source: Esser et al. 2021, "Taming Transformers" (VQ-GAN), without time embedding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        groups: int = 32,
        dropout: float = 0.0,
        owner: str = "NormalizedBlock",
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, owner=owner)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, out_channels, owner=owner)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (B, in_channels, H, W) into (B, out_channels, H, W)."""
        hidden = self.conv1(silu(self.norm1(x)))
        hidden = self.conv2(self.dropout(silu(self.norm2(hidden))))
        skipped: Tensor = self.skip(x)
        return skipped + hidden
