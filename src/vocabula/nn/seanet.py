"""Causal, streamable networks over time: strided convolutions with residual units, and back.

::

    x (B, C, T) --conv--> [unit * n, act, conv / r] of each ratio r --act, conv--> (B, dim, T / hop)
    z --conv--> [act, transposed conv * r, unit * n] of each, reversed --act, conv--> (B, P, T)

An output depends on no later input, so that a stream gives what the whole recording gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

from vocabula.nn.base import Decoder, Encoder
from vocabula.nn.causal import (
    CausalConv1d,
    CausalConvTranspose1d,
    CausalUnit,
    Memory,
    activation_of,
    first_input,
)
from vocabula.nn.conditional import AttributeEmbedding, ConditionalDecoder
from vocabula.nn.modulation import Modulation
from vocabula.registry import component
from vocabula.signals import Condition

Ratios = Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)]
Activation = Literal["elu", "snake"]
_OUTER, _INNER = 7, 3
"""Widths of the first and last convolutions, and of those in a unit."""


class Chain(nn.ModuleList):
    """Layers one after the other, some of which remember a stream."""

    def forward(
        self, x: Tensor, memory: Memory | None = None, embedded: Tensor | None = None
    ) -> Tensor:
        """Pass x (B, C, T) through the layers, modulated by vectors (B, width) if there are any."""
        for layer in self:
            if isinstance(layer, Modulation):
                x = x if embedded is None else layer(x, embedded)
            elif hasattr(layer, "first_input"):
                x = layer(x, memory)
            else:
                x = layer(x)
        return x


@component("encoder", "seanet")
class SEANetEncoder(Encoder):
    """Strided causal convolutions, each after residual units of growing dilation.

    Args:
        in_channels: channels of the recordings.
        dim: width of the vectors, the quantizer's.
        ratios: the strides, from the wave on, even or odd; their product is the hop.
        hidden: channels at the first ratio; they double at every ratio.
        units: residual units at each ratio, of dilation 1, 3, 9, ...
        activation: ``elu`` or ``snake``.

    Shape:
        (B, in_channels, T) -> (B, dim, T / hop).

    Example:
        >>> import torch
        >>> SEANetEncoder(1, 8, ratios=(2, 5), hidden=4)(torch.zeros(1, 1, 30)).shape
        torch.Size([1, 8, 3])

    Source: Défossez et al. 2022, "High Fidelity Neural Audio Compression" (EnCodec), section 3.1,
    after Zeghidour et al. 2021, "SoundStream"; without LSTM and weight normalization.
    """

    axes: ClassVar[int] = 1
    causal = True

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        ratios: Ratios = (2, 4, 4, 5),
        hidden: Annotated[int, Ge(1)] = 16,
        units: Annotated[int, Ge(0)] = 1,
        activation: Activation = "elu",
    ) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, prod(ratios)
        layers: list[nn.Module] = [CausalConv1d(in_channels, hidden, _OUTER)]
        for ratio in ratios:
            layers += [CausalUnit(hidden, _INNER, 3**n, activation) for n in range(units)]
            layers.append(activation_of(activation, hidden))
            layers.append(CausalConv1d(hidden, 2 * hidden, 2 * ratio, stride=ratio))
            hidden *= 2
        layers += [activation_of(activation, hidden), CausalConv1d(hidden, dim, _INNER)]
        self.layers = Chain(layers)

    @property
    def context(self) -> int:
        """Hops before a vector's own on which it depends."""
        return -(first_input(self.layers, 0) // self.stride)

    def forward(self, x: Tensor, *, memory: Memory | None = None) -> Tensor:
        """Encode recordings x (B, in_channels, T), or the next part of a stream."""
        encoded: Tensor = self.layers(x, memory)
        return encoded


def upsampling(
    dim: int,
    out_channels: int,
    ratios: Sequence[int],
    hidden: int,
    units: int,
    activation: str,
    embedding: int = 0,
) -> Chain:
    """The layers of a decoder.

    Args:
        dim: channels in.
        out_channels: channels out.
        ratios: the strides, from the wave on; they are taken in reverse.
        hidden: channels at the wave; they double with every ratio away from it.
        units: residual units after each ratio, of dilation 1, 3, 9, ...
        activation: of the units and between.
        embedding: width of the vectors that modulate every unit; 0: nothing does.
    """
    width = hidden * 2 ** len(ratios)
    layers: list[nn.Module] = [CausalConv1d(dim, width, _OUTER)]
    for ratio in reversed(ratios):
        layers.append(activation_of(activation, width))
        layers.append(CausalConvTranspose1d(width, width // 2, ratio))
        width //= 2
        for n in range(units):
            if embedding:
                layers.append(Modulation(embedding, width))
            layers.append(CausalUnit(width, _INNER, 3**n, activation))
    return Chain([*layers, activation_of(activation, width), CausalConv1d(width, out_channels, 7)])


class CausalDecoder(Decoder):
    """A decoder that is a chain of causal layers.

    Attributes:
        layers: the chain.
    """

    axes: ClassVar[int] = 1
    causal = True
    layers: Chain

    @property
    def context(self) -> int:
        """Positions before its own on which a hop depends."""
        return -first_input(self.layers, 0)


@component("decoder", "seanet")
class SEANetDecoder(CausalDecoder):
    """Transposed causal convolutions, each before residual units; see `SEANetEncoder`.

    Args:
        dim: width of the quantizer's vectors.
        out_channels: the likelihood's parameters per sample.
        ratios: the encoder's, in the same order.
        hidden: channels at the wave; they double with every ratio away from it.
        units: residual units at each ratio, of dilation 1, 3, 9, ...
        activation: ``elu`` or ``snake``.

    Shape:
        (B, dim, n) -> (B, out_channels, n hop).
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        ratios: Ratios = (2, 4, 4, 5),
        hidden: Annotated[int, Ge(1)] = 16,
        units: Annotated[int, Ge(0)] = 1,
        activation: Activation = "elu",
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, prod(ratios)
        self.layers = upsampling(dim, out_channels, ratios, hidden, units, activation)

    def forward(self, z: Tensor, *, memory: Memory | None = None) -> Tensor:
        """Decode vectors z (B, dim, n), or the next ones of a stream."""
        decoded: Tensor = self.layers(z, memory)
        return decoded


@component("decoder", "seanet_film")
class SEANetFiLMDecoder(CausalDecoder, ConditionalDecoder):
    """A `SEANetDecoder` in which attributes scale and shift the features of every unit.

    Args:
        dim: width of the quantizer's vectors.
        out_channels: the likelihood's parameters per sample.
        attributes: number of values of each attribute of the data; a training run counts them.
        names: what the values are called, in order, where they have names.
        given: the attributes that the decoder takes; None takes all.
        dropout: probability in training that a signal's attributes are withheld.
        embedding: width of the vectors of the attributes.
        ratios: the encoder's, in the same order.
        hidden: channels at the wave; they double with every ratio away from it.
        units: residual units at each ratio, at least one, of dilation 1, 3, 9, ...
        activation: ``elu`` or ``snake``.

    Shape:
        (B, dim, n) and a `Condition` -> (B, out_channels, n hop).

    Raises:
        OptionError: see `ConditionalDecoder.take`.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        attributes: Mapping[str, Annotated[int, Ge(1)]],
        names: Mapping[str, Sequence[str]] | None = None,
        given: Sequence[str] | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        embedding: Annotated[int, Ge(1)] = 64,
        ratios: Ratios = (2, 4, 4, 5),
        hidden: Annotated[int, Ge(1)] = 16,
        units: Annotated[int, Ge(1)] = 1,
        activation: Activation = "elu",
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, prod(ratios)
        taken = self.take(attributes, names, given)
        self.embedding = AttributeEmbedding(taken, embedding, dropout)
        self.layers = upsampling(dim, out_channels, ratios, hidden, units, activation, embedding)

    def forward(
        self, z: Tensor, condition: Condition | None = None, *, memory: Memory | None = None
    ) -> Tensor:
        """Decode vectors z (B, dim, n) of signals with the attributes of a condition."""
        decoded: Tensor = self.layers(z, memory, self.embedded(condition, z))
        return decoded
