"""The convolutional encoder and decoder of VQ-VAE, for any power-of-two downsampling."""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.nn.attention import SpatialAttention
from vocabula.nn.base import Decoder, Encoder, halvings
from vocabula.nn.locality import context_of
from vocabula.nn.resampling import ResizeConvolution
from vocabula.nn.residual import bottleneck_stack
from vocabula.registry import component


@component("encoder", "vqvae")
class VQVAEEncoder(Encoder):
    """Strided convolutions, a residual stack and a projection to the codebook's width.

    ::

        image --[4x4 /2, relu]...--> 3x3 --> residual stack --(attention)--> 1x1 --> z

    With the defaults it is the published CIFAR-10 network: two strided convolutions to 64 and 128
    channels, a 3 x 3 convolution, two residual blocks of 32 inner channels, a 1 x 1 convolution.
    The first strided convolution has hidden / 2 channels, the later ones `hidden`.

    Args:
        in_channels: channels of the images.
        dim: width of the vectors handed to the quantizer.
        hidden: channels of the widest feature maps, even.
        residual_layers: number of residual blocks.
        residual_hidden: channels inside a residual block.
        downsample: pixels per code along each axis: 1, 2, 4, 8, ...
        attention: let the positions attend to each other after the residual stack.

    Shape:
        (B, in_channels, H, W) -> (B, dim, H / downsample, W / downsample); H and W are multiples
        of `downsample`.

    Raises:
        OptionError: `hidden` is odd or `downsample` no power of two.

    Example:
        >>> import torch
        >>> VQVAEEncoder(3, 64)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 64, 8, 8])

    Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", section 4.1, and
    the authors' CIFAR-10 notebook. Downsampling by 2 follows VQ-VAE-2 (Razavi et al. 2019);
    attention, off by default, is ours.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(2)] = 128,
        residual_layers: Annotated[int, Ge(0)] = 2,
        residual_hidden: Annotated[int, Ge(1)] = 32,
        downsample: Annotated[int, Ge(1)] = 4,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, downsample
        levels = halvings(downsample, "encoder vqvae")
        half = _half(hidden, "encoder vqvae")
        widths = [in_channels, half, *[hidden] * max(levels - 1, 0)]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            conv = _halve(narrow, wide) if levels else nn.Conv2d(narrow, wide, 3, padding=1)
            layers += [conv, nn.ReLU()]
        self.downsampling = nn.Sequential(*layers)
        self.conv = nn.Conv2d(widths[-1], hidden, 3, padding=1)
        self.residual = bottleneck_stack(hidden, residual_hidden, residual_layers)
        self.attention = _attention(hidden) if attention else nn.Identity()
        self.project = nn.Conv2d(hidden, dim, 1)

    @property
    def context(self) -> int | None:
        """Grid positions on each side that a vector depends on; None with attention."""
        layers = (self.downsampling, self.conv, self.residual, self.attention, self.project)
        return context_of(layers, inputs=self.stride, outputs=1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (B, in_channels, H, W) into (B, dim, H / stride, W / stride)."""
        hidden = self.residual(self.conv(self.downsampling(x)))
        z: Tensor = self.project(self.attention(hidden))
        return z


@component("decoder", "vqvae")
class VQVAEDecoder(Decoder):
    """The encoder's mirror: a residual stack and transposed convolutions.

    ::

        values --> 3x3 --(attention)--> residual stack --[4x4 *2, relu]...--> image parameters

    Args:
        dim: width of the quantizer's vectors.
        out_channels: parameters per pixel of the likelihood.
        hidden: channels of the widest feature maps, even.
        residual_layers: number of residual blocks.
        residual_hidden: channels inside a residual block.
        downsample: pixels per code along each axis, the encoder's: 1, 2, 4, 8, ...
        attention: let the positions attend to each other before the residual stack.
        resize: double by `ResizeConvolution`, which leaves no grid where the codes are even.

    Shape:
        (B, dim, h, w) -> (B, out_channels, h downsample, w downsample).

    Raises:
        OptionError: `hidden` is odd or `downsample` no power of two.

    Example:
        >>> import torch
        >>> VQVAEDecoder(64, 3)(torch.zeros(2, 64, 8, 8)).shape
        torch.Size([2, 3, 32, 32])

    Source: as `VQVAEEncoder`.
    """

    added_options: ClassVar[tuple[str, ...]] = ("resize",)

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(2)] = 128,
        residual_layers: Annotated[int, Ge(0)] = 2,
        residual_hidden: Annotated[int, Ge(1)] = 32,
        downsample: Annotated[int, Ge(1)] = 4,
        attention: bool = False,
        resize: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, downsample
        levels = halvings(downsample, "decoder vqvae")
        half = _half(hidden, "decoder vqvae")
        self.conv = nn.Conv2d(dim, hidden, 3, padding=1)
        self.attention = _attention(hidden) if attention else nn.Identity()
        self.residual = bottleneck_stack(hidden, residual_hidden, residual_layers)
        if resize:
            self.upsampling = _resized(hidden, out_channels, levels)
            return
        # one level goes straight from `hidden`, several pass through hidden / 2 as the encoder does
        widths = [*[hidden] * max(levels - 1, 1), *[half] * (levels > 1), out_channels]
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            conv = _double(wide, narrow) if levels else nn.Conv2d(wide, narrow, 3, padding=1)
            layers += [conv, nn.ReLU()]
        self.upsampling = nn.Sequential(*layers[:-1])

    @property
    def context(self) -> int | None:
        """Positions on each side that the pixels of a position need; None with attention."""
        layers = (self.conv, self.attention, self.residual, self.upsampling)
        return context_of(layers, inputs=1, outputs=self.stride)

    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim, h, w) into (B, out_channels, h stride, w stride)."""
        hidden = self.residual(self.attention(self.conv(z)))
        parameters: Tensor = self.upsampling(hidden)
        return parameters


def _half(hidden: int, owner: str) -> int:
    """Halve the width, which must be even."""
    if hidden % 2:
        raise OptionError(
            f"{owner}.hidden: expected an even number, got {hidden}; use {hidden + 1}"
        )
    return hidden // 2


def _halve(narrow: int, wide: int) -> nn.Conv2d:
    return nn.Conv2d(narrow, wide, 4, stride=2, padding=1)


def _double(wide: int, narrow: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1)


def _resized(hidden: int, out_channels: int, levels: int) -> nn.Sequential:
    """Resize-convolutions, the last two to 1/2 and 1/4 of the channels, and one at full size."""
    narrowed = (max(1, hidden >> max(0, 2 - left)) for left in reversed(range(levels)))
    widths = [hidden, *narrowed]
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [ResizeConvolution(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], out_channels, 3, padding=1))


def _attention(hidden: int) -> SpatialAttention:
    return SpatialAttention(hidden, groups=gcd(32, hidden))
