"""Halving and doubling a feature map, as the VQ-GAN does."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad


class Downsample(nn.Module):
    """Halve height and width with a strided 3 x 3 convolution, padded only right and below.

    Args:
        channels: channels in and out.

    Shape:
        (B, channels, H, W) with even H and W -> (B, channels, H / 2, W / 2).

    Source: Esser et al. 2021, "Taming Transformers" (VQ-GAN).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve x (B, channels, H, W)."""
        halved: Tensor = self.conv(pad(x, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Double height and width: repeat every pixel, then smooth with a 3 x 3 convolution.

    Nearest neighbour followed by a convolution avoids the checkerboard that a transposed
    convolution can leave.

    Args:
        channels: channels in and out.

    Shape:
        (B, channels, H, W) -> (B, channels, 2 H, 2 W).

    Source: Esser et al. 2021, "Taming Transformers" (VQ-GAN).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Double x (B, channels, H, W)."""
        doubled: Tensor = self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled
