"""The networks of a tokenizer, and how signals pass through them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder, Encoder, dtype_of
from vocabula.quantizers.base import Bottleneck, Quantizer
from vocabula.signals import Condition, Signal
from vocabula.signals.codes import cells
from vocabula.tokenizers.code_level import CodeLevel, common_stride
from vocabula.tokenizers.extent import cropped
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks
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
        """Bits of the codes at a fixed length per element, such as a pixel; 0 for a VAE."""
        return sum(level.bits / math.prod(level.strides) for level in self.levels)

    def grids(self, *extent: int) -> tuple[tuple[int, ...], ...]:
        """The grid of each level's codes, one number per axis, for a signal of an extent."""
        counts = zip(cells(extent, self.strides), self.strides, strict=True)
        whole = [count * stride for count, stride in counts]
        return tuple(cells(whole, level.strides) for level in self.levels)

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
        given = (condition,) if decoder.conditional else ()
        values = last.movedim(-1, 1).to(dtype_of(decoder, last))
        return cropped(blocks.each(lambda part: decoder(part, *given), values), size)

    def _shown(
        self, values: Sequence[Tensor], size: Sequence[int], condition: Condition | None = None
    ) -> Tensor:
        """The images of the values (B, h, w, D) of each level."""
        return self._output(self._describe(self._ascend(values), size, condition))

    def _discrete(self, verb: str) -> list[Quantizer]:
        """The quantizers of all levels, which must have codes."""
        quantizers = []
        for level in self.levels:
            if not isinstance(level.quantizer, Quantizer):
                raise OptionError(
                    f"{verb}: expected a discrete quantizer, got the continuous "
                    f"{type(level.quantizer).__name__}, which has no codes; use reconstruct(x)"
                )
            quantizers.append(level.quantizer)
        return quantizers

    def _values(self, x: Tensor) -> Tensor:
        """Accepted signals as the networks see them: in floating point, scaled."""
        return self._scaled(self.signal.to_values(x))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scaling is None else self.scaling(x)

    def _output(self, parameters: Tensor) -> Tensor:
        """The expected signals (B, C, *extent)."""
        mean = self.likelihood.mean(parameters)
        return mean if self.scaling is None else self.scaling.inverse(mean)
