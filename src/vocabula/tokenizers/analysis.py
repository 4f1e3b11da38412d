"""The results of one pass of a tokenizer over images: codes, reconstructions and bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.signals.codes import OUTSIDE
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.masks import Blocks
from vocabula.tokenizers.tiles import Tile, gather
from vocabula.types import Quantized, Reconstruction


@dataclass(frozen=True, slots=True)
class BitsPerDim:
    """The cost of images in bits per channel of a pixel.

    Attributes:
        codes: (B,) bits of the codes of all levels, or of the continuous latent.
        likelihood: (B,) bits of the 8-bit image given the latent.
    """

    codes: Tensor
    likelihood: Tensor

    @property
    def total(self) -> Tensor:
        """(B,) the sum: an upper bound on -log2 p(x) / (C H W)."""
        return self.codes + self.likelihood


@dataclass(frozen=True, slots=True)
class Analysis(Reconstruction):
    """A reconstruction without losses, with what else one pass tells; see `Tokenizer.analyse`.

    `losses` is empty and `loss`, their sum, is 0, for the tokenizer and for every level. The levels
    are those of an evaluation. The codes of a continuous bottleneck are empty, (B, *grid, 0).

    Attributes:
        vectors: (B, *grid, D) of each level, what went into its bottleneck.
        bits: the cost of each signal.
    """

    vectors: tuple[Tensor, ...]
    bits: BitsPerDim


def evaluated(quantizer: Bottleneck, vectors: Tensor) -> tuple[tuple[Tensor, Quantized], Tensor]:
    """The vectors with the bottleneck's result as in evaluation, in any mode, and its values."""
    codes, values = quantizer.evaluate(vectors)
    return (vectors, without_loss(values, codes)), values


def without_loss(values: Tensor, codes: Tensor) -> Quantized:
    """The record of values and codes from which nothing is learned."""
    return Quantized(values, codes, values.new_zeros(()))


def quantized(
    quantizer: Bottleneck, vectors: Tensor, mask: Tensor | None = None
) -> tuple[Quantized, Tensor]:
    """The bottleneck's result in the module's mode, and its values.

    Args:
        quantizer: the bottleneck.
        vectors: (B, *grid, D).
        mask: (B, *grid) bool, the positions that hold a vector; None means all.
    """
    if mask is None:
        result: Quantized = quantizer(vectors)
        return result, result.values
    result = quantizer(vectors, mask)
    books = result.codes.ndim - mask.ndim
    codes = result.codes.masked_fill(~mask.reshape(*mask.shape, *[1] * books), OUTSIDE)
    values = torch.where(mask.unsqueeze(-1), result.values, 0)
    return replace(result, values=values, codes=codes), values


def latent_bits(levels: Sequence[CodeLevel], vectors: Sequence[Tensor]) -> Tensor:
    """Bits (B,) of each signal's codes at a fixed length, or of its continuous latent.

    Args:
        levels: of the tokenizer.
        vectors: (B, *grid, D) that went into each bottleneck.
    """
    pairs = zip(levels, vectors, strict=True)
    bits = sum(level.quantizer.latent_bits(one) for level, one in pairs)
    return vectors[0].new_zeros(len(vectors[0])) + bits


def analyse_groups(
    blocks: Blocks,
    found: Sequence[Analysis],
    grids: Sequence[Sequence[int]],
    x: Tensor,
) -> Analysis:
    """The analysis of a padded batch, from those of its groups.

    Args:
        blocks: where the signals are.
        found: one for each group.
        grids: of the codes of each level of the batch.
        x: the batch (B, C, *extent), in floating point.
    """
    extent = x.shape[2:]

    def level(number: int) -> Quantized:
        each = [one.levels[number] for one in found]
        return without_loss(
            blocks.place([one.values for one in each], grids[number]),
            blocks.place([one.codes for one in each], grids[number], fill=OUTSIDE),
        )

    output = blocks.place([one.output for one in found], extent, lead=2)
    return Analysis(
        output,
        tuple(level(number) for number in range(len(grids))),
        output.new_zeros(()),
        {},
        blocks.inside(x),
        vectors=tuple(
            blocks.place([one.vectors[number] for one in found], grid)
            for number, grid in enumerate(grids)
        ),
        bits=BitsPerDim(
            blocks.place([one.bits.codes for one in found], ()),
            blocks.place([one.bits.likelihood for one in found], ()),
        ),
    )


@dataclass(frozen=True, slots=True)
class Passage:
    """The result of one pass of images (B, C, H, W); all its parts are local.

    Attributes:
        levels: the vectors of each level and what its bottleneck made of them, coarsest first.
        output: (B, C, H, W) in [0, 1], what remains of the images.
        log_prob: (B, H, W) nats, log p of each pixel given the values.
    """

    levels: list[tuple[Tensor, Quantized]]
    output: Tensor
    log_prob: Tensor


def pass_in_tiles(
    signals: Tensor,
    cut: Sequence[Tile],
    strides: Sequence[int],
    pass_one: Callable[[int, Tensor], Passage],
) -> Passage:
    """The passage of whole signals of a discrete tokenizer, joined from their tiles.

    Args:
        signals: (B, C, H, W).
        cut: the tiles of each.
        strides: pixels per position of each level.
        pass_one: passes the part (1, C, h, w) that the network sees for a tile, given the number of
            its signal.
    """

    def seen(number: int, tile: Tile) -> list[Tensor]:
        found = pass_one(number, signals[number : number + 1, :, *tile.seen()])
        grids = [grid for z, one in found.levels for grid in (z, one.values, one.codes)]
        return [*grids, found.output.movedim(1, -1), found.log_prob]

    steps = [stride for stride in strides for _ in range(3)]
    *grids, output, log_prob = gather(len(signals), cut, [*steps, 1, 1], seen)
    inside = [slice(size) for size in signals.shape[2:]]
    ends: tuple[Any, ...] = (..., *inside)
    levels = [(grids[i], without_loss(grids[i + 1], grids[i + 2])) for i in range(0, len(grids), 3)]
    return Passage(levels, output.movedim(-1, 1)[ends], log_prob[:, *inside])
