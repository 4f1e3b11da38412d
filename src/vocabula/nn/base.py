"""The interface of every encoder and decoder: channels in and out, axes and stride."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from vocabula.errors import DataError, OptionError
from vocabula.nn.causal import Memory
from vocabula.signals.attributes import NOT_GIVEN, index_of, known_values, unknown
from vocabula.signals.condition import Condition, check_attribute

_OWNER = "this tokenizer's decoder"


class Encoder(nn.Module, ABC):
    """Maps images to a grid of vectors: (B, in_channels, H, W) -> (B, dim, H / stride, W / stride).

    H and W are multiples of `stride`; a `Tokenizer` pads to that.

    Attributes:
        in_channels: channels of the images.
        dim: width of the vectors, the quantizer's ``dim``.
        stride: pixels per grid position along each axis.
        axes: how many axes the signal has: 2 for an image, 0 for a vector.
        causal: along its one axis a vector depends on nothing later than its own elements, and
            ``forward`` takes the `memory` of a stream; see `nn.causal`.
        masked: ``forward`` takes the `mask` of the positions of a padded batch, (B, *grid) bool,
            and gives what each signal alone gives. Other networks see the signals one by one.
    """

    component_kind = "encoder"
    axes: ClassVar[int] = 2
    causal: bool = False
    masked: ClassVar[bool] = False
    in_channels: int
    dim: int
    stride: int

    @property
    def context(self) -> int | None:
        """How many grid positions on each side a vector depends on, each with its own pixels.

        None, the default, says that it may depend on all of them, so that images are passed whole.
        A network that states its context gives the same vectors when an image is cut at multiples
        of `stride`: large images are then passed in tiles in evaluation.
        """
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (B, in_channels, H, W) into vectors (B, dim, H / stride, W / stride)."""


class Decoder(nn.Module, ABC):
    """Maps a grid of vectors to images: (B, dim, h, w) -> (B, out_channels, h stride, w stride).

    A decoder that declares itself `conditional` is called as ``decoder(z, condition)``, with a
    `Condition` of the batch, or None where nothing is known.

    Attributes:
        dim: width of the vectors, the quantizer's ``dim``.
        out_channels: parameters per pixel of the likelihood (the image's channels for a Gaussian).
        stride: pixels per grid position along each axis.
        axes: how many axes the signal has; see `Encoder`.
        causal: see `Encoder`.
        lookahead: positions after its own that the elements of a position need in a causal decoder:
            on a stream they come so much later.
        masked: see `Encoder`.
        conditional: whether it takes a condition.
        attributes: number of values of each attribute that it knows; None if it does not say.
        names: what the values of an attribute are called, in order, where they have names.
    """

    component_kind = "decoder"
    axes: ClassVar[int] = 2
    causal: bool = False
    masked: ClassVar[bool] = False
    conditional: ClassVar[bool] = False
    lookahead: int = 0
    dim: int
    out_channels: int
    stride: int
    attributes: Mapping[str, int] | None = None
    names: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def check_condition(self, condition: Condition | None) -> None:
        """Check that the decoder knows the attributes and values of a condition.

        Raises:
            DataError: an attribute or value is unknown; the message lists the known ones.
        """
        if self.attributes is None or condition is None:
            return
        for name, values in condition.attributes.items():
            if name not in self.attributes:
                raise unknown(name, self.attributes, _OWNER)
            check_attribute(name, values, self.attributes[name])

    def value_index(self, attribute: str, value: int | str) -> int:
        """The index of an attribute's value, given by its index or its name.

        Raises:
            DataError: there is no such attribute or value; the message lists the known ones.
        """
        return index_of(attribute, value, self.attributes or {}, self.names, _OWNER)

    def own_values(self, attribute: str, values: Tensor, names: Sequence[str]) -> Tensor:
        """The values of an attribute as the decoder numbers them.

        Args:
            attribute: its name.
            values: (B,) int64, -1 where a signal has none, as some data number them.
            names: what the values are called in these data; empty if they have no names.

        Raises:
            DataError: the decoder does not know a name; the message lists what it knows.
        """
        own = self.names.get(attribute, ())
        if not own or not names or tuple(names) == own:
            return values
        wanted = sorted({int(value) for value in values.tolist() if value >= 0})
        table = torch.full((len(names) + 1,), NOT_GIVEN, device=values.device)
        for value in wanted:
            table[value] = self.value_index(attribute, names[value])
        return table[values]  # the last row is that of -1

    def refuse_missing(self, attribute: str) -> None:
        """Say that a value of an attribute is missing.

        Raises:
            DataError: always; it lists the known values.
        """
        known = known_values(self.attributes or {}, self.names)[attribute]
        raise DataError(
            f"{attribute}: expected a value for every signal, {known}, got none; give it, or train "
            "with decoder.dropout > 0, which learns to do without"
        )

    def rest(self, memory: Memory) -> Tensor | None:
        """The last elements (B, out_channels, n) of a stream, which waited for `lookahead`.

        None if there are none.
        """
        return None

    @property
    def context(self) -> int | None:
        """How many positions on each side the pixels of a position need; see `Encoder`."""
        return None

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim, h, w) into (B, out_channels, h stride, w stride)."""


def dtype_of(part: nn.Module, fallback: Tensor) -> torch.dtype:
    """The floating-point type of a part's parameters, which its input must share."""
    parameter = next(part.parameters(), None)
    return fallback.dtype if parameter is None else parameter.dtype


def halvings(downsample: int, owner: str) -> int:
    """Count how often `downsample` halves an axis: its logarithm to base 2.

    Args:
        downsample: a power of two: 1, 2, 4, 8, ...
        owner: the component that the message names.

    Raises:
        OptionError: `downsample` is not a power of two.
    """
    if downsample < 1 or downsample & (downsample - 1):
        lower = 1 << max(downsample.bit_length() - 1, 0)
        raise OptionError(
            f"{owner}.downsample: expected a power of two, got {downsample}; "
            f"use {lower} or {2 * lower}"
        )
    return downsample.bit_length() - 1
