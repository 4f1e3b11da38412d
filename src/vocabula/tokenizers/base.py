"""The base of all tokenizers, with one or several levels of codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from vocabula.errors import DataError
from vocabula.functional._checks import check_tensor
from vocabula.levels import levels_of
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.signals import Condition
from vocabula.signals.codes import OUTSIDE
from vocabula.tokenizers.analysis import (
    Analysis,
    BitsPerDim,
    Passage,
    analyse_groups,
    evaluated,
    latent_bits,
    pass_in_tiles,
    quantized,
)
from vocabula.tokenizers.code_checks import check_codes, check_values, signal_size
from vocabula.tokenizers.code_level import common_stride, rows_of
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.likelihood import bits_per_dim
from vocabula.tokenizers.masks import Blocks, Group, blocks_of, decoded
from vocabula.tokenizers.networks import Networks
from vocabula.tokenizers.saving import Pretrained
from vocabula.tokenizers.tiles import Tile, cut_for, gather, paint
from vocabula.types import Quantized, Reconstruction

Codes: TypeAlias = Tensor | Sequence[Tensor]
"""Codes (B, *grid, *code_shape): of the only level, or one tensor a level, the coarsest first."""


class SignalTokenizer(Pretrained, Networks):
    """Turns signals of any size into codes and codes into signals, over one or several levels.

    Signals are (B, C, *extent), as given by their kind, `signal`: images (B, C, H, W), vectors (B,
    C). They are continued by their last element to multiples of `strides`, and the result is
    cropped back. The encoder sees x - `signal.centre`.

    Large images pass `encode`, `decode` and `reconstruct` in tiles where the networks state their
    context (`Encoder.context`), the module is in evaluation mode on the CPU and gradients are off:
    the codes and pixels equal those of the whole image at a fraction of its memory.

    Signals of several extents share a batch under a `mask` (B, *extent) bool, True where a signal
    is: a leading block along every axis. The networks see each signal without its padding, which
    may hold any accepted values, so that codes are those of the signal alone. Losses and
    statistics count what is inside. Outside, codes are -1 and signals and vectors 0.

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
    code_statistics: CodeStatistics | None = None

    @abstractmethod
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """Codes (B, h, w, *code_shape), int64, of images (B, C, H, W): `Codes`."""

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Condition | None = None,
        heard: Tensor | None = None,
    ) -> Reconstruction:
        """Reconstruct images and compute the training loss.

        The loss is the likelihood's plus the bottlenecks'; `losses` holds ``reconstruction`` and
        the bottlenecks' terms under their own names.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]. Floating-point images are checked for range and
                finiteness, which waits for the device; uint8 images need no check.
            mask: (B, H, W) bool, True where an image is; see above.
            condition: what is known of the signals, for a decoder that takes it.
            heard: (B, C, H, W), what the encoder gets in place of x, which the loss compares with.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the mask or the condition.
            OptionError: the decoder takes no condition.
        """
        x = self.signal.check(x)
        self.check_condition(condition, x.shape[0], "forward")
        heard = x if heard is None else self.signal.check(heard)
        blocks = blocks_of(mask, x.shape[0], x.shape[2:], self.strides)
        return self._trained(x, blocks, condition, heard)

    def _trained(
        self, x: Tensor, blocks: Blocks, condition: Condition | None, heard: Tensor
    ) -> Reconstruction:
        """The training pass of checked images x, of which the encoder gets `heard`."""
        y = self._scaled(x)

        def narrow(quantizer: Bottleneck, vectors: Tensor) -> tuple[Quantized, Tensor]:
            return quantized(quantizer, vectors, blocks.positions(vectors.shape[1:-1]))

        results, last = self._descend(self._scaled(heard), narrow, blocks)
        parameters = self._describe(last, x.shape[2:], condition, blocks)
        reconstruction = self.likelihood.loss_inside(parameters, y, blocks)
        loss, losses = reconstruction, {"reconstruction": reconstruction}
        for level, result in zip(self.levels, results, strict=True):
            loss = loss + result.loss
            losses |= {f"{level.prefix}{name}": term for name, term in result.losses.items()}
        output, target = (blocks.inside(one) for one in (self._output(parameters), x))
        return Reconstruction(output, tuple(results), loss, losses, target, parameters=parameters)

    def decode(
        self,
        codes: Codes,
        condition: Condition | None = None,
        *,
        size: Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of codes.

        Args:
            codes: integers (B, h, w, *code_shape); for several levels one tensor each, the coarsest
                first.
            condition: what is known of the signals, for a decoder that takes it.
            size: (H, W) to crop to; None keeps all that the codes cover.
            mask: (B, H, W) bool, which `encode` had; it gives the size of every image.

        Raises:
            CodeError: wrong number of levels, shapes or values.
            DataError: wrong mask.
            OptionError: the bottleneck is continuous, the decoder takes no condition, or `size`
                is not the size of an image with that many codes.
        """
        return self._decode_all(codes, condition, size, lambda signals: signals, mask)

    @torch.no_grad()
    def decode_stored(
        self,
        codes: Codes,
        condition: Condition | None = None,
        *,
        size: Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The result of `decode` as uint8 images (B, C, H, W): a quarter of the memory."""
        return self._decode_all(codes, condition, size, self.signal.to_stored, mask)

    def _decode_all(
        self,
        codes: Codes,
        condition: Condition | None,
        size: Sequence[int] | None,
        finish: Callable[[Tensor], Tensor],
        mask: Tensor | None = None,
    ) -> Tensor:
        """Images of codes, finished part by part, in tiles if the images are large."""
        quantizers = self._discrete("decode")
        levels = check_codes(self.levels, levels_of(codes))
        self.check_condition(condition, levels[0].shape[0], "decode")
        grid = levels[0].shape[1 : 1 + len(self.strides)]
        if mask is not None and size is None:
            check_tensor("mask", mask, DataError)
            size = mask.shape[1:]
        size = signal_size(self.strides, size, grid, self.signal.unit)
        blocks = blocks_of(mask, levels[0].shape[0], size, self.strides)
        if blocks.mask is not None:

            def decode_group(group: Group) -> Tensor:
                part = group.codes(levels, self.grids(*group.extent))
                return self._decode_all(part, rows_of(condition, group.rows), group.extent, finish)

            return blocks.place(blocks.parts(decode_group), size, lead=2)

        def shown(parts: Sequence[Tensor], size: Sequence[int], known: Condition | None) -> Tensor:
            values = [decoded(q, code) for q, code in zip(quantizers, parts, strict=True)]
            return finish(self._shown(values, size, known))

        cut = cut_for(levels[0], size, self, self.strides, self.decode_context)
        if not cut:
            return shown(levels, size, condition)

        def seen(number: int, tile: Tile) -> Tensor:
            places = [tile.seen(stride) for stride in self._level_strides]
            row = slice(number, number + 1)
            parts = [code[row, *place] for code, place in zip(levels, places, strict=True)]
            return shown(parts, tile.size, rows_of(condition, row))

        return paint(len(levels[0]), cut, seen)

    def decode_values(
        self,
        values: Sequence[Tensor],
        condition: Condition | None = None,
        *,
        size: Sequence[int] | None = None,
    ) -> Tensor:
        """Images (B, C, H, W) in [0, 1] from the bottlenecks' output vectors instead of codes.

        Args:
            values: (B, h, w, D) of each level, the coarsest first.
            condition: what is known of the signals, for a decoder that takes it.
            size: (H, W) to crop to; None keeps all that the vectors cover.

        Raises:
            ShapeError: wrong number of levels, or wrong shapes.
            OptionError: `size` is not the size of an image with that many positions.
        """
        check_values(self.levels, values)
        self.check_condition(condition, values[0].shape[0], "decode_values")
        size = signal_size(self.strides, size, values[0].shape[1:-1], self.signal.unit)
        return self._shown(values, size, condition)

    @torch.no_grad()
    def reconstruct(
        self, x: Tensor, mask: Tensor | None = None, condition: Condition | None = None
    ) -> Tensor:
        """Images (B, C, H, W) after the bottleneck, in [0, 1]; changes no state.

        A discrete bottleneck gives ``decode(encode(x))``, a continuous one decodes its mean.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1].
            mask: (B, H, W) bool, True where an image is; see above.
            condition: what is known of the signals, for a decoder that takes it.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the condition.
            OptionError: the decoder takes no condition.
        """
        self.signal.refuse(x)
        self.check_condition(condition, x.shape[0], "reconstruct")
        blocks = blocks_of(mask, x.shape[0], x.shape[2:], self.strides)
        if blocks.mask is not None:
            parts = blocks.parts(
                lambda group: self.reconstruct(
                    group.of(x), condition=rows_of(condition, group.rows)
                )
            )
            return blocks.place(parts, x.shape[2:], lead=2)

        def shown(x: Tensor, known: Condition | None) -> Tensor:
            last = self._descend(self._values(x), evaluated)[1]
            return self._output(self._describe(last, x.shape[2:], known))

        cut = cut_for(x, x.shape[2:], self, self.strides, self.encode_context, self.decode_context)
        if not cut:
            return shown(x, condition)

        def seen(number: int, tile: Tile) -> Tensor:
            row = slice(number, number + 1)
            return shown(x[row, :, *tile.seen()], rows_of(condition, row))

        return paint(len(x), cut, seen)

    @torch.no_grad()
    def bits_per_dim(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Condition | None = None,
        *,
        seed: int = 0,
    ) -> BitsPerDim:
        """Bits per channel of a pixel that images cost as latent plus residual.

        Discrete: ``(sum_levels h w sum_books log2 K - log2 p(x | codes)) / (C H W)``, codes at a
        fixed length: the size a lossless coder reaches. Continuous: ``(KL(q(u|x) || p(u)) - log2
        p(x | u)) / (C H W)`` with one sample u of the posterior, an unbiased estimate of the
        negative evidence lower bound.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]; counted as 8-bit values.
            mask: (B, H, W) bool, True where an image is; an image without a pixel costs 0.
            condition: what is known of the signals, for a decoder that takes it.
            seed: of the sample, where the bottleneck is continuous.

        Returns:
            `BitsPerDim`, each part (B,).

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        return self.analyse(x, mask, condition, seed=seed).bits

    @torch.no_grad()
    def analyse(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Condition | None = None,
        *,
        seed: int = 0,
    ) -> Analysis:
        """Codes, reconstruction and bits per dimension of images from one pass.

        The parts are those of `encode`, `reconstruct` and `bits_per_dim`. A continuous
        bottleneck is decoded twice: its mean for the output, a sample for the bits.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1].
            mask: (B, H, W) bool, True where an image is; see above.
            condition: what is known of the signals, for a decoder that takes it.
            seed: of the sample, where the bottleneck is continuous.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the condition.
            OptionError: the decoder takes no condition.
        """
        x = self.signal.check(x)
        self.check_condition(condition, x.shape[0], "analyse")
        blocks = blocks_of(mask, x.shape[0], x.shape[2:], self.strides)
        if blocks.mask is not None:
            one = blocks.parts(
                lambda group: self.analyse(
                    group.of(x), None, rows_of(condition, group.rows), seed=seed
                )
            )
            return analyse_groups(blocks, one, self.grids(*x.shape[2:]), x)
        found = self._passed(x, condition, seed)
        vectors = tuple(vectors for vectors, _ in found.levels)
        dims, bits = x.shape[1:].numel(), latent_bits(self.levels, vectors)
        return Analysis(
            found.output,
            tuple(level for _, level in found.levels),
            found.output.new_zeros(()),
            {},
            x,
            vectors=vectors,
            bits=BitsPerDim(bits / dims, bits_per_dim(found.log_prob, dims)),
        )

    # --------------------------------------------------------------- internals

    @property
    def _level_strides(self) -> list[int]:
        """Pixels per code of each level, where large images pass in tiles."""
        return [common_stride(level.strides) for level in self.levels]

    def _passed(self, x: Tensor, condition: Condition | None, seed: int) -> Passage:
        """Pass checked images, in tiles if they are large."""
        if not self.levels[0].quantizer.discrete:  # a sample is that of a whole signal
            return self._pass(x, condition, seed)
        cut = cut_for(x, x.shape[2:], self, self.strides, self.encode_context, self.decode_context)
        if not cut:
            return self._pass(x, condition)

        def pass_one(number: int, part: Tensor) -> Passage:
            return self._pass(part, rows_of(condition, slice(number, number + 1)))

        return pass_in_tiles(x, cut, self._level_strides, pass_one)

    def _pass(self, x: Tensor, condition: Condition | None, seed: int = 0) -> Passage:
        """Pass checked images; `seed` is for the sample if the bottleneck is continuous."""
        x = self._scaled(x)
        found, last = self._descend(x, evaluated)
        parameters = self._describe(last, x.shape[2:], condition)
        output = self._output(parameters)
        generator = torch.Generator().manual_seed(seed)
        sample = self.levels[0].quantizer.sample(found[0][0], generator=generator)
        if sample is not None:
            parameters = self._describe(sample, x.shape[2:], condition)
        log_prob = self.likelihood.log_prob(parameters, x)
        if self.scaling is not None:  # the density of the signals, not of their scaled values
            log_prob = log_prob - self.scaling.log_scale().to(log_prob)
        return Passage(found, output, log_prob)

    def _encode_all(self, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """The codes of each level of images x (B, C, H, W), in tiles if they are large."""
        self._discrete("encode")
        self.signal.refuse(x)
        blocks = blocks_of(mask, x.shape[0], x.shape[2:], self.strides)
        if blocks.mask is not None:
            parts = zip(*blocks.parts(lambda group: self._encode_all(group.of(x))), strict=True)
            grids = zip(parts, self.grids(*x.shape[2:]), strict=True)
            return [blocks.place(codes, grid, fill=OUTSIDE) for codes, grid in grids]
        cut = cut_for(x, x.shape[2:], self, self.strides, self.encode_context)
        if not cut:
            return self._codes(self._values(x))

        def seen(number: int, tile: Tile) -> list[Tensor]:
            part = x[number : number + 1, :, *tile.seen()]
            return self._codes(self._values(part))

        return gather(len(x), cut, self._level_strides, seen)


ImageTokenizer = SignalTokenizer
"""Its name of before."""
