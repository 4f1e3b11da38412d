"""A decoder that knows attributes, such as the class: they scale and shift its features (FiLM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from vocabula.errors import OptionError
from vocabula.nn.base import halvings
from vocabula.nn.conditional import AttributeEmbedding, ConditionalDecoder
from vocabula.nn.locality import context_of
from vocabula.registry import component
from vocabula.signals import Condition

_LAYERS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DOUBLINGS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class FiLMBlock(nn.Module):
    """A residual block whose normalized features an embedding scales and shifts.

    ::

        x + W2 silu(W1 silu((1 + a(e)) norm(x) + b(e)))

    The norm is over the channels of each position; a and b are linear and begin at 0.

    Args:
        width: channels in and out.
        embedding: width of the embedding e.
        axes: how many axes the features have.

    Shape:
        (B, width, *grid) and (B, embedding) -> (B, width, *grid).
    """

    def __init__(self, width: int, embedding: int, axes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.first = _layer(width, width, axes)
        self.second = _layer(width, width, axes, kernel=1)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Add the block's correction to x (B, width, *grid)."""
        rows = x.movedim(1, -1)
        normal = layer_norm(rows, (x.shape[1],), self.norm.weight, self.norm.bias, self.norm.eps)
        film = self.film(embedded).reshape(len(x), *[1] * (x.ndim - 2), -1)
        scale, shift = film.chunk(2, dim=-1)
        seen = ((1 + scale) * normal + shift).movedim(-1, 1)
        change: Tensor = self.second(silu(self.first(silu(seen))))
        return x + change


@component("decoder", "film")
class FiLMDecoder(ConditionalDecoder):
    """A residual network for signals of any number of axes that attributes modulate.

    ::

        z --layer--> [block] * blocks --[silu, 4 wide, *2]...--silu--layer--> parameters
                        ^
        attributes --embedding

    Layers are linear without an axis, else convolutions 3 wide.

    Args:
        dim: width of the quantizer's vectors.
        out_channels: the likelihood's parameters per element.
        attributes: number of values of each attribute of the data, such as ``{"speaker": 40}``; a
            training run counts them.
        names: what the values are called, in order, where they have names.
        given: the attributes that the decoder takes; None takes all.
        axes: how many axes the signal has.
        hidden: channels of the feature maps.
        blocks: number of residual blocks.
        downsample: elements per code along each axis, the encoder's: 1, 2, 4, 8, ...
        dropout: probability in training that a signal's attributes are withheld, so that the
            decoder learns to do without; at 0 it needs them.

    Shape:
        (B, dim, *grid) and a `Condition` -> (B, out_channels, *(grid * downsample)).

    Raises:
        OptionError: there is no attribute, `given` names an unknown one, names and values differ in
            number, or `downsample` is no power of two.

    Example:
        >>> decoder = FiLMDecoder(8, 3, attributes={"class": 10}, axes=2, downsample=4)
        >>> decoder(torch.zeros(2, 8, 4, 4), Condition.of_class(torch.tensor([3, 7]))).shape
        torch.Size([2, 3, 16, 16])

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer", placed
    before each block's layers as in Peebles and Xie 2023, "Scalable Diffusion Models with
    Transformers", without its gates.
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        attributes: Mapping[str, Annotated[int, Ge(1)]],
        names: Mapping[str, Sequence[str]] | None = None,
        given: Sequence[str] | None = None,
        axes: Annotated[int, Ge(0), Le(3)] = 2,
        hidden: Annotated[int, Ge(1)] = 128,
        blocks: Annotated[int, Ge(1)] = 2,
        downsample: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, downsample
        self.axes = axes  # type: ignore[misc]
        taken = self.take(attributes, names, given)
        doublings = halvings(downsample, "decoder film")
        if doublings and not axes:
            raise OptionError(
                f"decoder film.downsample: expected 1 for signals without axes, got {downsample}; "
                "leave it out"
            )
        self.embedding = AttributeEmbedding(taken, hidden, dropout)
        self.first = _layer(dim, hidden, axes)
        self.blocks = nn.ModuleList(FiLMBlock(hidden, hidden, axes) for _ in range(blocks))
        layers: list[nn.Module] = []
        for _ in range(doublings):
            layers += [nn.SiLU(), _DOUBLINGS[axes](hidden, hidden, 4, stride=2, padding=1)]
        self.upsampling = nn.Sequential(*layers, nn.SiLU(), _layer(hidden, out_channels, axes))

    @property
    def context(self) -> int | None:
        """Positions on each side that the pixels of a position need; None but for images."""
        if self.axes != 2:
            return None
        spatial = [block.get_submodule("first") for block in self.blocks]
        return context_of([self.first, *spatial, self.upsampling], inputs=1, outputs=self.stride)

    def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """Decode vectors z (B, dim, *grid) of signals with the attributes of a condition."""
        embedded = self.embedded(condition, z)
        hidden = self.first(z)
        for block in self.blocks:
            hidden = block(hidden, embedded)
        parameters: Tensor = self.upsampling(hidden)
        return parameters


def _layer(inputs: int, outputs: int, axes: int, kernel: int = 3) -> nn.Module:
    """A layer from channels to channels that keeps every axis."""
    if not axes:
        return nn.Linear(inputs, outputs)
    layer: Any = _LAYERS[axes]
    made: nn.Module = layer(inputs, outputs, kernel, padding=kernel // 2)
    return made
