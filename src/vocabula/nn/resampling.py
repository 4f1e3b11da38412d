"""Halving and doubling a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, interpolate, pad


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


class ResizeConvolution(nn.Module):
    """Double height and width as `Upsample` does, with other channels and half the work.

    A pixel repeated twice and smoothed by taps (a, b, c) is one transposed convolution of stride
    2, whose taps are (c, b + c, a + b, a). Of an even surface it makes an even one.

    Args:
        in_channels: channels in.
        out_channels: channels out.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, 2 H, 2 W).

    Source: Odena et al. 2016, "Deconvolution and checkerboard artifacts".
    """

    spread: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        spread = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Double x (B, in_channels, H, W)."""
        spread, weight = self.spread, self.conv.weight
        taps = (spread @ weight @ spread.T).transpose(0, 1)
        return conv_transpose2d(x, taps, self.conv.bias, stride=2, padding=1)
