"""The base of all tokenizers, with one or several levels of codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.levels import levels_of
from vocabula.nn.base import Decoder, Encoder, dtype_of
from vocabula.quantizers.base import Bottleneck, Quantizer
from vocabula.signals import Condition, Signal
from vocabula.signals.codes import cells
from vocabula.tokenizers.analysis import (
    Analysis,
    BitsPerDim,
    Passage,
    evaluated,
    latent_bits,
    pass_in_tiles,
    quantized,
)
from vocabula.tokenizers.code_level import (
    CodeLevel,
    check_codes,
    check_condition,
    check_values,
    common_stride,
    signal_size,
)
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.extent import cropped, padded
from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
from vocabula.tokenizers.likelihood import Likelihood, bits_per_dim
from vocabula.tokenizers.saving import Pretrained
from vocabula.tokenizers.scaling import Scaling
from vocabula.tokenizers.tiles import Tile, cut_for, gather, paint
from vocabula.types import Reconstruction

Codes: TypeAlias = Tensor | Sequence[Tensor]
"""Codes (B, *grid, *code_shape): of the only level, or one tensor a level, the coarsest first."""

T = TypeVar("T")


class SignalTokenizer(Pretrained, nn.Module, ABC):
    """Turns signals of any size into codes and codes into signals, over one or several levels.

    Signals are (B, C, *extent), as given by their kind, `signal`: images (B, C, H, W), vectors (B,
    C). They are continued by their last element to multiples of `strides`, and the result is
    cropped back. The encoder sees x - `signal.centre`.

    Large images pass `encode`, `decode` and `reconstruct` in tiles where the networks state their
    context (`Encoder.context`), the module is in evaluation mode on the CPU and gradients are off:
    the codes and pixels equal those of the whole image at a fraction of its memory.

    Attributes:
        signal: the kind of signal.
        channels: C.
        strides: elements of the signal per code of the coarsest level, along each axis.
        likelihood: the distribution of the signal, scaled.
        scaling: maps real values to the scale of the networks; None if they see them as they are.
        code_statistics: counts of the training codes, which entropy models begin with; None if
            there are none. They are saved with the tokenizer as long as its weights stay the same.
    """

    component_kind = "tokenizer"
    signal: Signal
    channels: int
    strides: tuple[int, ...]
    likelihood: Likelihood
    scaling: Scaling | None
    code_statistics: CodeStatistics | None = None

    # ------------------------------------------------------------------ levels

    @property
    @abstractmethod
    def levels(self) -> tuple[CodeLevel, ...]:
        """The levels of codes, the coarsest first."""

    @abstractmethod
    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules of all levels by role: encoder, quantizer, decoder, likelihood."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Codes (B, h, w, *code_shape), int64, of images (B, C, H, W): `Codes`."""

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

    # ------------------------------------------------------------------ images

    def forward(self, x: Tensor) -> Reconstruction:
        """Reconstruct images and compute the training loss.

        The loss is the likelihood's plus the bottlenecks'; `losses` holds ``reconstruction`` and
        the bottlenecks' terms under their own names.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]. Floating-point images are checked for range and
                finiteness, which waits for the device; uint8 images need no check.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        x = self.signal.check(x)
        y = self._scaled(x)
        results, last = self._descend(y, quantized)
        parameters = self._describe(last, x.shape[2:])
        reconstruction = self.likelihood.loss(parameters, y)
        loss, losses = reconstruction, {"reconstruction": reconstruction}
        for level, result in zip(self.levels, results, strict=True):
            loss = loss + result.loss
            losses |= {f"{level.prefix}{name}": term for name, term in result.losses.items()}
        return Reconstruction(self._output(parameters), tuple(results), loss, losses, x)

    def decode(
        self, codes: Codes, condition: Condition | None = None, *, size: Sequence[int] | None = None
    ) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of codes.

        Args:
            codes: integers (B, h, w, *code_shape); for several levels one tensor each, the coarsest
                first.
            condition: what is known of the signals, for a decoder that takes it.
            size: (H, W) to crop to; None keeps all that the codes cover.

        Raises:
            CodeError: wrong number of levels, shapes or values.
            OptionError: the bottleneck is continuous, the decoder takes no condition, or `size`
                is not the size of an image with that many codes.
        """
        return self._decode_all(codes, condition, size, lambda images: images)

    @torch.no_grad()
    def decode_stored(
        self, codes: Codes, condition: Condition | None = None, *, size: Sequence[int] | None = None
    ) -> Tensor:
        """The result of `decode` as uint8 images (B, C, H, W): a quarter of the memory."""
        return self._decode_all(codes, condition, size, self.signal.to_stored)

    def _decode_all(
        self,
        codes: Codes,
        condition: Condition | None,
        size: Sequence[int] | None,
        finish: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Images of codes, finished part by part, in tiles if the images are large."""
        quantizers = self._discrete("decode")
        levels = check_codes(self.levels, levels_of(codes))
        check_condition(condition, self._last_decoder, len(levels[0]))
        grid = levels[0].shape[1 : 1 + len(self.strides)]
        size = signal_size(self.strides, size, grid, self.signal.unit)

        def shown(parts: Sequence[Tensor], size: Sequence[int], known: Condition | None) -> Tensor:
            values = [q.decode(code) for q, code in zip(quantizers, parts, strict=True)]
            return finish(self._shown(values, size, known))

        cut = cut_for(levels[0], size, self, self.strides, self.decode_context)
        if not cut:
            return shown(levels, size, condition)

        def seen(image: int, tile: Tile) -> Tensor:
            places = [tile.seen(level.stride) for level in self.levels]
            row = slice(image, image + 1)
            parts = [code[row, *place] for code, place in zip(levels, places, strict=True)]
            return shown(parts, tile.size, None if condition is None else condition.rows(row))

        return paint(len(levels[0]), cut, seen)

    def decode_values(
        self, values: Sequence[Tensor], *, size: Sequence[int] | None = None
    ) -> Tensor:
        """Images (B, C, H, W) in [0, 1] from the bottlenecks' output vectors instead of codes.

        Args:
            values: (B, h, w, D) of each level, the coarsest first.
            size: (H, W) to crop to; None keeps all that the vectors cover.

        Raises:
            ShapeError: wrong number of levels, or wrong shapes.
            OptionError: `size` is not the size of an image with that many positions.
        """
        check_values(self.levels, values)
        size = signal_size(self.strides, size, values[0].shape[1:-1], self.signal.unit)
        return self._shown(values, size)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) after the bottleneck, in [0, 1]; changes no state.

        A discrete bottleneck gives ``decode(encode(x))``, a continuous one decodes its mean.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        self.signal.refuse(x)

        def shown(x: Tensor) -> Tensor:
            last = self._descend(self._values(x), evaluated)[1]
            return self._output(self._describe(last, x.shape[2:]))

        cut = cut_for(x, x.shape[2:], self, self.strides, self.encode_context, self.decode_context)
        if not cut:
            return shown(x)
        return paint(len(x), cut, lambda i, tile: shown(x[i : i + 1, :, *tile.seen()]))

    @torch.no_grad()
    def bits_per_dim(self, x: Tensor, *, seed: int = 0) -> BitsPerDim:
        """Bits per channel of a pixel that images cost as latent plus residual.

        Discrete: ``(sum_levels h w sum_books log2 K - log2 p(x | codes)) / (C H W)``, codes at a
        fixed length: the size a lossless coder reaches. Continuous: ``(KL(q(u|x) || p(u)) - log2
        p(x | u)) / (C H W)`` with one sample u of the posterior, an unbiased estimate of the
        negative evidence lower bound.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]; counted as 8-bit values.
            seed: of the sample, where the bottleneck is continuous.

        Returns:
            `BitsPerDim`, each part (B,).

        Raises:
            DataError: wrong shape, dtype, channels or values.
            OptionError: the bottleneck is neither a quantizer nor a `GaussianBottleneck`.
        """
        return self.analyse(x, seed=seed).bits

    @torch.no_grad()
    def analyse(self, x: Tensor, *, seed: int = 0) -> Analysis:
        """Codes, reconstruction and bits per dimension of images from one pass.

        The parts are those of `encode`, `reconstruct` and `bits_per_dim`. A continuous
        bottleneck is decoded twice: its mean for the output, a sample for the bits.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1].
            seed: of the sample, where the bottleneck is continuous.

        Raises:
            DataError: wrong shape, dtype, channels or values.
            OptionError: the bottleneck is neither a quantizer nor a `GaussianBottleneck`.
        """
        self.signal.refuse(x)
        first = self.levels[0].quantizer
        if isinstance(first, GaussianBottleneck):  # then there is only one level
            found = self._pass(x, seed)
        else:
            self._discrete("analyse")
            cut = cut_for(
                x, x.shape[2:], self, self.strides, self.encode_context, self.decode_context
            )
            strides = [level.stride for level in self.levels]
            found = pass_in_tiles(x, cut, strides, self._pass) if cut else self._pass(x)
        dims, bits = x.shape[1:].numel(), latent_bits(self.levels, found.levels)
        costs = BitsPerDim(bits / dims, bits_per_dim(found.log_prob, dims))
        return Analysis(tuple(found.levels), found.output, costs)

    # ---------------------------------------------------------- for subclasses

    @abstractmethod
    def _descend(
        self, x: Tensor, narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]]
    ) -> tuple[list[T], Tensor]:
        """Pass checked images x through every level, the coarsest first.

        Args:
            x: (B, C, H, W) in [0, 1].
            narrow: applied to each level's bottleneck and vectors (B, h, w, D); returns the result
                to keep and the values (B, h, w, D) to pass on.

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

    def _centred(self, x: Tensor, encoder: Encoder) -> Tensor:
        """Checked images x as the encoder's input: around 0, padded to whole codes."""
        return padded((x - self.signal.centre).to(dtype_of(encoder, x)), self.strides)

    def _describe(
        self, last: Tensor, size: Sequence[int], condition: Condition | None = None
    ) -> Tensor:
        """The likelihood's parameters (B, P, H, W) for the last decoder's input, cropped."""
        decoder = self._last_decoder
        given = (condition,) if decoder.conditional else ()
        decoded: Tensor = decoder(last.movedim(-1, 1).to(dtype_of(decoder, last)), *given)
        return cropped(decoded, size)

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

    # --------------------------------------------------------------- internals

    def _pass(self, x: Tensor, seed: int = 0) -> Passage:
        """Pass checked images; `seed` is for the sample if the bottleneck is continuous."""
        x = self._values(x)
        found, last = self._descend(x, evaluated)
        parameters = self._describe(last, x.shape[2:])
        output = self._output(parameters)
        first = self.levels[0].quantizer
        if isinstance(first, GaussianBottleneck):
            generator = torch.Generator().manual_seed(seed)
            sample = first.sample(found[0].vectors, generator=generator)
            parameters = self._describe(sample, x.shape[2:])
        log_prob = self.likelihood.log_prob(parameters, x)
        if self.scaling is not None:  # the density of the signals, not of their scaled values
            log_prob = log_prob - self.scaling.log_scale().to(log_prob)
        return Passage(found, output, log_prob)

    def _values(self, x: Tensor) -> Tensor:
        """Accepted signals as the networks see them: in floating point, scaled."""
        return self._scaled(self.signal.to_values(x))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scaling is None else self.scaling(x)

    def _output(self, parameters: Tensor) -> Tensor:
        """The expected signals (B, C, *extent)."""
        mean = self.likelihood.mean(parameters)
        return mean if self.scaling is None else self.scaling.inverse(mean)

    def _encode_all(self, x: Tensor) -> list[Tensor]:
        """The codes of each level of images x (B, C, H, W), in tiles if they are large."""
        self._discrete("encode")
        self.signal.refuse(x)
        cut = cut_for(x, x.shape[2:], self, self.strides, self.encode_context)
        if not cut:
            return self._codes(self._values(x))

        def seen(image: int, tile: Tile) -> list[Tensor]:
            part = x[image : image + 1, :, *tile.seen()]
            return self._codes(self._values(part))

        return gather(len(x), cut, [level.stride for level in self.levels], seen)


ImageTokenizer = SignalTokenizer
"""Its name of before."""
