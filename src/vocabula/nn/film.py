"""A decoder that knows attributes, such as the class: they scale and shift its features (FiLM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder, halvings
from vocabula.nn.locality import context_of
from vocabula.registry import component
from vocabula.signals import Condition
from vocabula.signals.attributes import NOT_GIVEN, in_order

_LAYERS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DOUBLINGS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class AttributeEmbedding(nn.Module):
    """One vector for the attributes of a signal: the sum of a learned vector for each.

    Args:
        values: number of values of each attribute by name.
        width: of the vectors.
        dropout: probability in training that all of a signal's attributes are withheld.

    Shape:
        a `Condition` of B signals -> (B, width).
    """

    def __init__(self, values: Mapping[str, int], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.names, self.dropout = tuple(values), dropout
        # the first row of each says "not given"
        self.tables = nn.ModuleList(nn.Embedding(1 + n, width) for n in values.values())

    def forward(self, condition: Condition | None, batch: int, device: torch.device) -> Tensor:
        """The vectors (B, width) of the known attributes; others count as not given."""
        known = {} if condition is None else condition.attributes
        nothing = torch.full((batch,), NOT_GIVEN, device=device)
        hidden = nothing.bool() & False
        if self.training and self.dropout:
            hidden = torch.rand(batch, device=device) < self.dropout
        rows = [
            table(known.get(name, nothing).masked_fill(hidden, NOT_GIVEN) - NOT_GIVEN)
            for name, table in zip(self.names, self.tables, strict=True)
        ]
        return torch.stack(rows).sum(0)


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
class FiLMDecoder(Decoder):
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

    conditional: ClassVar[bool] = True

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
        self.attributes = _taken(in_order(attributes), given)
        self.names = {k: tuple(v) for k, v in (names or {}).items() if k in self.attributes and v}
        _check_names(self.attributes, self.names)
        doublings = halvings(downsample, "decoder film")
        if doublings and not axes:
            raise OptionError(
                f"decoder film.downsample: expected 1 for signals without axes, got {downsample}; "
                "leave it out"
            )
        self.embedding = AttributeEmbedding(self.attributes, hidden, dropout)
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

    def check_condition(self, condition: Condition | None) -> None:
        """Also check that no attribute is missing, unless the decoder learned to do without."""
        super().check_condition(condition)
        if self.training or self.embedding.dropout:
            return
        known = {} if condition is None else condition.attributes
        for name in self.embedding.names:
            if name not in known or bool((known[name] == NOT_GIVEN).any()):
                self.refuse_missing(name)

    def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """Decode vectors z (B, dim, *grid) of signals with the attributes of a condition."""
        embedded = self.embedding(condition, len(z), z.device)
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


def _taken(attributes: Mapping[str, int], given: Sequence[str] | None) -> dict[str, int]:
    """The attributes that are taken, in order."""
    for name in given or ():
        if name not in attributes:
            raise OptionError(
                f"decoder film.given: expected some of {', '.join(attributes) or 'no attributes'}, "
                f"got {name!r}; name attributes of the data"
            )
    taken = {name: n for name, n in attributes.items() if given is None or name in given}
    if not taken:
        raise OptionError(
            "decoder film: expected data with labels or other attributes, got none; give data that "
            "have some, or another decoder"
        )
    return taken


def _check_names(attributes: Mapping[str, int], names: Mapping[str, Sequence[str]]) -> None:
    for name, own in names.items():
        if len(own) != attributes[name]:
            raise OptionError(
                f"decoder film.names: expected {attributes[name]} names of {name}, one for each "
                f"value, got {len(own)}; leave them out, or give as many"
            )
