"""The networks of a tokenizer, and how signals pass through them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import torch
from torch import Tensor, nn

from vocabula.errors import DataError, OptionError
from vocabula.nn.base import Decoder, Encoder, dtype_of
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.shards import check_whole
from vocabula.signals import Condition, Signal
from vocabula.signals.codes import cells
from vocabula.tokenizers.analysis import evaluated
from vocabula.tokenizers.code_checks import check_condition
from vocabula.tokenizers.code_level import CodeLevel, common_stride, quantizers_of
from vocabula.tokenizers.extent import cropped
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks, blocks_of
from vocabula.tokenizers.scaling import Scaling

T = TypeVar("T")


class Networks(nn.Module, ABC):
    """Encoders, bottlenecks and decoders of one or several levels, with a likelihood.

    Subclasses arrange them; `SignalTokenizer` builds its verbs on the passes that they define.

    Attributes:
        signal: the kind of signal.
        channels: C.
        strides: elements of the signal per code of the coarsest level, along each axis.
        likelihood: the distribution of the signal, scaled.
        scaling: maps real values to the scale of the networks; None if they see them as they are.
    """

    signal: Signal
    channels: int
    strides: tuple[int, ...]
    likelihood: Likelihood
    scaling: Scaling | None

    # ------------------------------------------------------------------ levels

    @property
    @abstractmethod
    def levels(self) -> tuple[CodeLevel, ...]:
        """The levels of codes, the coarsest first."""

    @property
    def needed_levels(self) -> int:
        """How many levels, the coarsest first, decoding needs; others may be absent."""
        return len(self.levels)

    @abstractmethod
    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules of all levels by role: encoder, quantizer, decoder, likelihood."""

    @property
    def encode_context(self) -> int | None:
        """Pixels around a part of an image that its codes depend on; None means the whole image."""
        return None

    @property
    def decode_context(self) -> int | None:
        """Pixels around a part of an image whose codes it depends on; None means all codes."""
        return None

    @property
    def stride(self) -> int:
        """Pixels per code of the coarsest level, along every axis; see `common_stride`."""
        return common_stride(self.strides)

    @property
    def bits_per_unit(self) -> float:
        """Bits of the codes at a fixed length per unit: a pixel, a second; 0 for a VAE."""
        return self.signal.per_unit * sum(level.bits_per_element for level in self.levels)

    def grids(self, *extent: int) -> tuple[tuple[int, ...], ...]:
        """The grid of each level's codes, one number per axis, for a signal of an extent."""
        counts = zip(cells(extent, self.strides), self.strides, strict=True)
        whole = [count * stride for count, stride in counts]
        return tuple(level.spec.grid(whole) for level in self.levels)

    @property
    def decoder_attributes(self) -> dict[str, int]:
        """Number of values of each attribute that the last decoder knows; empty for none."""
        return dict(self._last_decoder.attributes or {})

    def attribute_index(self, attribute: str, value: int | str) -> int:
        """The index of a value of an attribute that the last decoder knows.

        Raises:
            DataError: it does not know it; the message lists what it knows.
        """
        return self._last_decoder.value_index(attribute, value)

    def known(
        self,
        attributes: Mapping[str, Tensor],
        names: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> Condition | None:
        """The condition of signals for the last decoder: what it knows of their attributes.

        Args:
            attributes: (B,) integers by name, -1 where a signal has none.
            names: what the values are called in these data; the decoder's own names then say which
                values they are.

        Returns:
            The condition on the tokenizer's device; None where the decoder takes none.

        Raises:
            DataError: the decoder does not know a name; the message lists what it knows.
        """
        decoder = self._last_decoder
        if not decoder.conditional:
            return None
        known = attributes if decoder.attributes is None else decoder.attributes
        place = next(self.parameters()).device
        return Condition(
            {
                name: decoder.own_values(name, attributes[name], names.get(name, ())).to(place)
                for name in known
                if name in attributes
            }
        )

    def first_values(self, batch: int) -> Condition | None:
        """The condition in which every attribute has its first value; None if there is none."""
        zeros = torch.zeros(batch, dtype=torch.int64)
        return self.known(dict.fromkeys(self.decoder_attributes, zeros))

    def refuse_condition(self, verb: str) -> None:
        """Refuse a last decoder that needs attributes where none are stored.

        Raises:
            OptionError: the decoder needs some.
        """
        try:
            self._last_decoder.check_condition(None)
        except DataError:
            raise OptionError(
                f"{verb}: expected a decoder that needs no attributes, got one that needs "
                f"{', '.join(self.decoder_attributes)}, which compressed files do not hold; write "
                "tokens with vocabula encode, or train with decoder.dropout > 0"
            ) from None

    def check_condition(self, condition: Condition | None, batch: int, verb: str) -> None:
        """Check that the last decoder takes a condition of B signals; see `check_condition`.

        Raises:
            OptionError, DataError: it does not.
        """
        check_condition(condition, self._last_decoder, batch, verb)

    @torch.no_grad()
    def exchanged(
        self, x: Tensor, mask: Tensor | None = None, condition: Condition | None = None
    ) -> Tensor:
        """Signals decoded from their codes with a condition, such as the speaker of another.

        Unlike `reconstruct` it passes a padded batch at once, as in training, and it is as exact as
        a training step: sums may round otherwise than those of the signals alone.

        Args:
            x: (B, C, *extent).
            mask: (B, *extent) bool, True where a signal is.
            condition: what the decoder is told.

        Returns:
            (B, C, *extent), 0 outside of the signals; no state changes.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the mask or the condition.
        """
        self.check_condition(condition, x.shape[0], "exchanged")
        seen = self._scaled(self.signal.check(x))
        blocks = blocks_of(mask, x.shape[0], x.shape[2:], self.strides)
        last = self._descend(seen, evaluated, blocks)[1]
        return blocks.inside(self._output(self._describe(last, x.shape[2:], condition, blocks)))

    # ---------------------------------------------------------- for subclasses

    @abstractmethod
    def _descend(
        self,
        x: Tensor,
        narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]],
        blocks: Blocks = WHOLE,
    ) -> tuple[list[T], Tensor]:
        """Pass checked images x through every level, the coarsest first.

        Args:
            x: (B, C, H, W) in [0, 1].
            narrow: applied to each level's bottleneck and vectors (B, h, w, D); returns the result
                to keep and the values (B, h, w, D) to pass on.
            blocks: where the images are, if some are padded.

        Returns:
            The result of each level, and the input of the last decoder, (B, h, w, its width).
        """

    @abstractmethod
    def _codes(self, x: Tensor) -> list[Tensor]:
        """The codes of each level of checked images x (B, C, H, W) in [0, 1]."""

    @abstractmethod
    def _ascend(self, values: Sequence[Tensor]) -> Tensor:
        """The last decoder's input from the values (B, h, w, D) of each level."""

    @property
    @abstractmethod
    def _last_decoder(self) -> Decoder:
        """The decoder that gives the likelihood's parameters."""

    def _centred(self, x: Tensor, encoder: Encoder, blocks: Blocks) -> Tensor:
        """Checked images x as the encoder's input: around 0, padded to whole codes."""
        around = x - self.signal.centre if self.signal.centre else x
        return blocks.padded(around.to(dtype_of(encoder, x)), self.strides)

    def _describe(
        self,
        last: Tensor,
        size: Sequence[int],
        condition: Condition | None = None,
        blocks: Blocks = WHOLE,
    ) -> Tensor:
        """The likelihood's parameters (B, P, H, W) for the last decoder's input, cropped."""
        decoder = self._last_decoder
        values = last.movedim(-1, 1).to(dtype_of(decoder, last))
        made = blocks.each(decoder, values, conditional=decoder.conditional, condition=condition)
        return cropped(made, size)

    def _shown(
        self, values: Sequence[Tensor], size: Sequence[int], condition: Condition | None = None
    ) -> Tensor:
        """The images of the values (B, h, w, D) of each level."""
        return self._output(self._describe(self._ascend(values), size, condition))

    def _discrete(self, verb: str) -> list[Quantizer]:
        """The quantizers of all levels, which must have codes; none is spread over processes."""
        check_whole(self, verb)
        return quantizers_of(self.levels, verb, "use reconstruct(x)")

    def _values(self, x: Tensor) -> Tensor:
        """Accepted signals as the networks see them: in floating point, scaled."""
        return self._scaled(self.signal.to_values(x))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scaling is None else self.scaling(x)

    def _output(self, parameters: Tensor) -> Tensor:
        """The expected signals (B, C, *extent)."""
        mean = self.likelihood.mean(parameters)
        return mean if self.scaling is None else self.scaling.inverse(mean)
