"""The level of a hierarchy whose networks start as linear transforms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocabula.nn.base import Decoder, Encoder, dtype_of
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.registry import component
from vocabula.tokenizers.hierarchical import Level


@component("level", "linear")
class LinearLevel(Level):
    """One level of a hierarchy of transforms: it quantizes what the level above left of features.

    ::

        z = f - context at the start: the first channels of the features f are those that the level
        above coded, and the context, what it decoded, is taken from them

    `join` starts as this difference and learns. There are no shortcuts around the networks, which
    start as transforms that need none; the finer level's decoder adds the context back, such as
    `LappedDecoder` with ``added``.

    Args:
        encoder: see `Level`.
        quantizer: see `Level`.
        decoder: see `Level`.

    Raises:
        OptionError: see `Level`.

    Source: Burt & Adelson 1983, "The Laplacian pyramid as a compact image code", for the
    difference from what is decoded already.
    """

    def __init__(self, encoder: Encoder, quantizer: Bottleneck, decoder: Decoder) -> None:
        super().__init__(encoder, quantizer, decoder)
        with torch.no_grad():
            weight = self.join.weight.flatten(1)
            own = torch.eye(len(weight), encoder.dim)
            above = torch.eye(len(weight), self.context)
            weight.copy_(torch.cat([own, -above], 1))
            bias = self.join.bias
            assert isinstance(bias, nn.Parameter)
            bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """The encoder's features (B, F, h, w) of what lies below (B, in_channels, H, W)."""
        encoded: Tensor = self.encoder(features.to(dtype_of(self.encoder, features)))
        return encoded

    def decode(self, joined: Tensor) -> Tensor:
        """The context (B, C, h stride, w stride) for the next finer level."""
        joined = joined.movedim(-1, 1)
        decoded: Tensor = self.decoder(joined.to(dtype_of(self.decoder, joined)))
        return decoded
