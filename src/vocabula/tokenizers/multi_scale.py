"""The tokenizer of several scales: one encoder and decoder, and codes on grids of rising size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional.modes import readable, without_autocast
from vocabula.levels import level_name, levels_of
from vocabula.nn.base import Decoder, Encoder
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.multi_scale import MultiScaleQuantizer
from vocabula.quantizers.scale import ABSENT, check_absent
from vocabula.registry import component
from vocabula.signals import Condition, Signal
from vocabula.tokenizers.analysis import evaluated
from vocabula.tokenizers.base import Codes
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.leveled import SeveralLevels
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks
from vocabula.tokenizers.scaling import Scaling
from vocabula.tokenizers.tokenizer import Tokenizer

T = TypeVar("T")


@component("tokenizer", "multi_scale")
class MultiScaleTokenizer(SeveralLevels, Tokenizer):  # type: ignore[misc]
    """Turns signals into codes of several scales, each a level of its own, and back.

    ::

        x --> encoder --> z --> scale 1 --> ... --> scale S --> sum --> decoder --> signal
                                   |                   |
                            codes 1 (B, 1, 1)   codes S (B, 8, 8)

    Level 1 is the coarsest scale; codes are passed as one tensor per scale. The codes of the first
    scales alone can be decoded, too.

    Signals are continued to whole blocks of ``encoder.stride * scales[-1]`` elements along each
    axis, usually one: a block has 1, 2, 3, ... positions at the scales (1, 2, 3, ...).

    Args:
        encoder: signals to vectors.
        quantizer: the scales.
        decoder: vectors to the likelihood's parameters.
        likelihood: the distribution of the signal; None is ``Gaussian()``.
        signal: the kind of signal; None is ``Image(encoder.in_channels)``.
        scaling: maps real values to the scale of the networks; None shows them as they are.

    Raises:
        OptionError: if widths, axes, strides or channels of the parts do not fit one another.

    Example:
        >>> from vocabula.nn import VQVAEDecoder, VQVAEEncoder
        >>> from vocabula.quantizers import MultiScaleQuantizer, VectorQuantizer
        >>> quantizer = MultiScaleQuantizer([VectorQuantizer(16, 64)], (1, 2, 4))
        >>> tokenizer = MultiScaleTokenizer(
        ...     VQVAEEncoder(3, 16), quantizer, VQVAEDecoder(16, 3)).eval()
        >>> codes = tokenizer.encode(torch.rand(2, 3, 16, 16))
        >>> [tuple(level.shape) for level in codes]
        [(2, 1, 1), (2, 2, 2), (2, 4, 4)]
        >>> tokenizer.decode(codes[:2]).shape
        torch.Size([2, 3, 16, 16])

    Source: Tian et al. 2024, "Visual Autoregressive Modeling" (VAR).
    """

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Bottleneck,
        decoder: Decoder,
        *,
        likelihood: Likelihood | None = None,
        signal: Signal | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        if not isinstance(quantizer, MultiScaleQuantizer):
            raise OptionError(
                "multi-scale tokenizer quantizer: expected a MultiScaleQuantizer, got "
                f"{type(quantizer).__name__}; use Tokenizer for it"
            )
        super().__init__(
            encoder, quantizer, decoder, likelihood=likelihood, signal=signal, scaling=scaling
        )
        axes = len(self.signal.axes)
        if axes != quantizer.axes:
            raise OptionError(
                f"multi-scale tokenizer quantizer.axes: expected the signal's {axes}, got "
                f"{quantizer.axes}; set quantizer.axes={axes}"
                + ("" if axes else ", or quantize signals without axes by ResidualQuantizer")
            )
        self.strides = (encoder.stride * quantizer.scales[-1],) * axes

    @property
    def scales(self) -> MultiScaleQuantizer:
        """The quantizer of all scales."""
        assert isinstance(self.quantizer, MultiScaleQuantizer), "checked when made"
        return self.quantizer

    # ------------------------------------------------------------------ public

    @property
    def levels(self) -> tuple[CodeLevel, ...]:
        """The scales, the coarsest first."""
        axes = len(self.signal.axes)
        pairs = zip(self.scales.each_scale(), self.scales.scales, strict=True)
        return tuple(
            CodeLevel(level_name(i), scale, self.strides, (side,) * axes)
            for i, (scale, side) in enumerate(pairs)
        )

    @property
    def needed_levels(self) -> int:
        """One: the coarsest scale alone can be decoded."""
        return 1

    @property
    def encode_context(self) -> int | None:
        """None: the coarsest codes depend on the whole signal."""
        return None

    @property
    def decode_context(self) -> int | None:
        """None: the whole signal depends on the coarsest codes."""
        return None

    # --------------------------------------------------------------- internals

    def _decode_all(
        self,
        codes: Codes,
        condition: Condition | None,
        size: Sequence[int] | None,
        finish: Callable[[Tensor], Tensor],
        mask: Tensor | None = None,
    ) -> Tensor:
        given = list(levels_of(codes))
        if 0 < len(given) < len(self.levels) and isinstance(given[0], Tensor):
            given += self._absent(given[0])[len(given) :]
        if mask is None:
            self._check_scales(given)
        return super()._decode_all(given, condition, size, finish, mask)

    def _absent(self, coarsest: Tensor) -> list[Tensor]:
        """Codes of -1 for all scales, of the batch and blocks of the coarsest."""
        axes, found = len(self.signal.axes), []
        grid = coarsest.shape[1 : 1 + axes]
        for level in self.levels:
            sides = zip(grid, self.levels[0].factors, level.factors, strict=False)
            own = (size // first * factor for size, first, factor in sides)
            shape = (len(coarsest), *own, *level.code_shape)
            found.append(coarsest.new_full(shape, ABSENT, dtype=torch.int64))
        return found

    def _check_scales(self, codes: Sequence[Tensor]) -> None:
        """Check that scales are absent as a whole, and only after all present ones."""
        if len(codes) != len(self.levels) or any(readable(level) is None for level in codes):
            return
        absent = [
            (level == ABSENT).reshape(len(level), math.prod(level.shape[1:])) for level in codes
        ]
        if all(level.numel() for level in absent) and len({len(level) for level in absent}) == 1:
            check_absent(absent, "decode")

    def _codes(self, x: Tensor) -> list[Tensor]:
        found, _ = self._descend(x, evaluated)
        return [level.codes for _, level in found]

    def _descend(
        self,
        x: Tensor,
        narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]],
        blocks: Blocks = WHOLE,
    ) -> tuple[list[T], Tensor]:
        z, scales = self._vectors(x, blocks), self.scales
        training = narrow is not evaluated
        with without_autocast(z.device):
            vectors = z.to(scales.compute_dtype)
            mask = blocks.positions(z.shape[1:-1])
            if training:
                scales.fit(vectors, mask, blocks.each)
            kept = scales.keep(vectors) if training else None
            found, values = scales.descend(vectors, narrow, each=blocks.each, mask=mask, kept=kept)
        return found, values.to(z.dtype)

    def _ascend(self, values: Sequence[Tensor]) -> Tensor:
        first, last = self.scales.scales[0], self.scales.scales[-1]
        grid = [n // first * last for n in values[0].shape[1:-1]]
        with without_autocast(values[0].device):
            joined = [one.to(self.scales.compute_dtype) for one in values]
            return self.scales.ascend(joined, grid).to(values[0].dtype)
