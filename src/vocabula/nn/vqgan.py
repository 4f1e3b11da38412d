"""The deeper encoder and decoder of VQ-GAN: normalized residual blocks at every resolution."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn
from torch.nn.functional import silu

from vocabula.nn.attention import SpatialAttention
from vocabula.nn.base import Decoder, Encoder
from vocabula.nn.normalization import GroupNorm
from vocabula.nn.resampling import Downsample, Upsample
from vocabula.nn.residual import NormalizedBlock
from vocabula.registry import component


@component("encoder", "vqgan")
class VQGANEncoder(Encoder):
    """Residual blocks with group normalization at every resolution, attention at the lowest.

    ::

        image --> 3x3 --[blocks, /2]...--> blocks --> middle --> norm, silu, 3x3 --> z

    Level i has ``hidden * multipliers[i]`` channels; all but the last end by halving the image.

    Args:
        in_channels: channels of the images.
        dim: width of the vectors handed to the quantizer.
        hidden: channels that the multipliers multiply.
        multipliers: one per level, the finest resolution first; the stride is
            2 ** (len(multipliers) - 1).
        blocks: residual blocks per level.
        attention_levels: how many of the coarsest levels attend; 0 leaves the middle without too.
        groups: groups of every normalization; must divide every level's channels.
        dropout: probability in [0, 1) inside the residual blocks.

    Shape:
        (B, in_channels, H, W) -> (B, dim, H / stride, W / stride); H and W multiples of the stride.

    Raises:
        OptionError: `groups` does not divide a level's channels.

    Example:
        >>> import torch
        >>> encoder = VQGANEncoder(3, 8, hidden=32, multipliers=(1, 2, 2), blocks=1)
        >>> encoder(torch.zeros(1, 3, 16, 16)).shape
        torch.Size([1, 8, 4, 4])

    Source: Esser et al. 2021, "Taming Transformers". The published model ends in a convolution to
    z channels followed by a 1 x 1 to the codebook's width; one convolution to `dim` replaces both.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(1)] = 128,
        multipliers: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1, 1, 2, 2, 4),
        blocks: Annotated[int, Ge(1)] = 2,
        attention_levels: Annotated[int, Ge(0)] = 1,
        groups: Annotated[int, Ge(1)] = 32,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, 2 ** (len(multipliers) - 1)
        level = _Level("encoder vqgan", groups, dropout)
        widths = [hidden * multiplier for multiplier in multipliers]
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        stages: list[nn.Module] = []
        before = widths[0]
        for index, width in enumerate(widths):
            remaining = len(widths) - 1 - index
            stages += level.blocks(before, width, blocks, attend=remaining < attention_levels)
            if remaining:
                stages.append(Downsample(width))
            before = width
        self.stages = nn.Sequential(*stages, *level.middle(before, attend=attention_levels > 0))
        self.norm_out = GroupNorm(groups, before, owner="encoder vqgan")
        self.conv_out = nn.Conv2d(before, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (B, in_channels, H, W) into (B, dim, H / stride, W / stride)."""
        z: Tensor = self.conv_out(silu(self.norm_out(self.stages(self.conv_in(x)))))
        return z


@component("decoder", "vqgan")
class VQGANDecoder(Decoder):
    """The encoder's mirror, with one residual block more per level.

    ::

        values --> 3x3 --> middle --[blocks, *2]...--> blocks --> norm, silu, 3x3 --> parameters

    Args:
        dim: width of the quantizer's vectors.
        out_channels: parameters per pixel of the likelihood.
        hidden: channels that the multipliers multiply.
        multipliers: one per level, the finest resolution first, as the encoder's.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        attention_levels: how many of the coarsest levels attend; 0 leaves the middle without too.
        groups: groups of every normalization; must divide every level's channels.
        dropout: probability in [0, 1) inside the residual blocks.

    Shape:
        (B, dim, h, w) -> (B, out_channels, h stride, w stride).

    Raises:
        OptionError: `groups` does not divide a level's channels.

    Example:
        >>> import torch
        >>> decoder = VQGANDecoder(8, 3, hidden=32, multipliers=(1, 2, 2), blocks=1)
        >>> decoder(torch.zeros(1, 8, 4, 4)).shape
        torch.Size([1, 3, 16, 16])

    Source: as `VQGANEncoder`.
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(1)] = 128,
        multipliers: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1, 1, 2, 2, 4),
        blocks: Annotated[int, Ge(1)] = 2,
        attention_levels: Annotated[int, Ge(0)] = 1,
        groups: Annotated[int, Ge(1)] = 32,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, 2 ** (len(multipliers) - 1)
        level = _Level("decoder vqgan", groups, dropout)
        widths = [hidden * multiplier for multiplier in reversed(multipliers)]
        before = widths[0]
        self.conv_in = nn.Conv2d(dim, before, 3, padding=1)
        stages = level.middle(before, attend=attention_levels > 0)
        for index, width in enumerate(widths):
            stages += level.blocks(before, width, blocks + 1, attend=index < attention_levels)
            if index < len(widths) - 1:
                stages.append(Upsample(width))
            before = width
        self.stages = nn.Sequential(*stages)
        self.norm_out = GroupNorm(groups, before, owner="decoder vqgan")
        self.conv_out = nn.Conv2d(before, out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim, h, w) into (B, out_channels, h stride, w stride)."""
        hidden = self.stages(self.conv_in(z))
        parameters: Tensor = self.conv_out(silu(self.norm_out(hidden)))
        return parameters


class _Level:
    """Builds the layers of one resolution with the settings that all of them share."""

    def __init__(self, owner: str, groups: int, dropout: float) -> None:
        self.owner, self.groups, self.dropout = owner, groups, dropout

    def blocks(self, before: int, width: int, count: int, *, attend: bool) -> list[nn.Module]:
        """`count` residual blocks from `before` to `width` channels, each followed by attention."""
        layers: list[nn.Module] = []
        for channels in [before, *[width] * (count - 1)]:
            layers.append(self._block(channels, width))
            if attend:
                layers.append(self._attention(width))
        return layers

    def middle(self, width: int, *, attend: bool) -> list[nn.Module]:
        """Two residual blocks with attention between them, at the lowest resolution."""
        between = [self._attention(width)] if attend else []
        return [self._block(width, width), *between, self._block(width, width)]

    def _block(self, before: int, width: int) -> NormalizedBlock:
        return NormalizedBlock(
            before, width, groups=self.groups, dropout=self.dropout, owner=self.owner
        )

    def _attention(self, width: int) -> SpatialAttention:
        return SpatialAttention(width, groups=self.groups, owner=self.owner)
