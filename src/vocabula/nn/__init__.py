"""Network blocks: encoders, decoders and the parts they are made of.

An encoder maps images (B, C, H, W) to (B, dim, H / stride, W / stride), recordings (B, C, T) to
(B, dim, T / stride), or vectors (B, C) to (B, dim), a decoder back. They know nothing of
quantizers: any bottleneck of the same ``dim`` fits between them.
"""

from __future__ import annotations

from vocabula.nn.attention import SpatialAttention
from vocabula.nn.base import Decoder, Encoder
from vocabula.nn.conditional import AttributeEmbedding, ConditionalDecoder
from vocabula.nn.film import FiLMBlock, FiLMDecoder
from vocabula.nn.identity import IdentityDecoder, IdentityEncoder
from vocabula.nn.lapped import LappedDecoder, LappedEncoder
from vocabula.nn.mel import MelEncoder
from vocabula.nn.mlp import MLPDecoder, MLPEncoder, PerceptronBlock
from vocabula.nn.normalization import GroupNorm
from vocabula.nn.resampling import Downsample, Upsample
from vocabula.nn.residual import BottleneckBlock, NormalizedBlock, bottleneck_stack
from vocabula.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetFiLMDecoder
from vocabula.nn.vocos import VocosDecoder, VocosFiLMDecoder
from vocabula.nn.vqgan import VQGANDecoder, VQGANEncoder
from vocabula.nn.vqvae import VQVAEDecoder, VQVAEEncoder
from vocabula.nn.wrapped import WrappedDecoder, WrappedEncoder, wrap

__all__ = [
    "AttributeEmbedding",
    "BottleneckBlock",
    "ConditionalDecoder",
    "Decoder",
    "Downsample",
    "Encoder",
    "FiLMBlock",
    "FiLMDecoder",
    "GroupNorm",
    "IdentityDecoder",
    "IdentityEncoder",
    "LappedDecoder",
    "LappedEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "MelEncoder",
    "NormalizedBlock",
    "PerceptronBlock",
    "SEANetDecoder",
    "SEANetEncoder",
    "SEANetFiLMDecoder",
    "SpatialAttention",
    "Upsample",
    "VQGANDecoder",
    "VQGANEncoder",
    "VQVAEDecoder",
    "VQVAEEncoder",
    "VocosDecoder",
    "VocosFiLMDecoder",
    "WrappedDecoder",
    "WrappedEncoder",
    "bottleneck_stack",
    "wrap",
]
