"""The results of one pass of a tokenizer over images: codes, reconstructions and bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vocabula.levels import only
from vocabula.quantizers.base import Bottleneck, Quantizer
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.extent import over_extent
from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
from vocabula.tokenizers.masks import OUTSIDE, Blocks
from vocabula.tokenizers.tiles import Tile, gather
from vocabula.types import Quantized


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
class LevelAnalysis:
    """The inputs and outputs of one level's bottleneck.

    Attributes:
        vectors: (B, h, w, D), what went in.
        codes: (B, h, w, *code_shape) int64, or None if the bottleneck is continuous.
        values: (B, h, w, D), what came out, in evaluation.
    """

    vectors: Tensor
    codes: Tensor | None
    values: Tensor


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of `Tokenizer.analyse` for images (B, C, H, W).

    Attributes:
        levels: vectors, codes and values of each level, the coarsest first.
        output: (B, C, H, W) in [0, 1], what remains of the images.
        bits: the cost of each image.
    """

    levels: tuple[LevelAnalysis, ...]
    output: Tensor
    bits: BitsPerDim

    @property
    def vectors(self) -> Tensor:
        """The encoder's vectors (B, h, w, D), if there is one level."""
        return only(self.levels, "Analysis.vectors").vectors

    @property
    def codes(self) -> Tensor | None:
        """The codes (B, h, w, *code_shape) int64 of a single level, or None if continuous."""
        return only(self.levels, "Analysis.codes").codes


def evaluated(quantizer: Bottleneck, vectors: Tensor) -> tuple[LevelAnalysis, Tensor]:
    """The bottleneck's result as in evaluation, in any mode, and its values."""
    codes = None
    if isinstance(quantizer, Quantizer):
        codes = quantizer.encode(vectors)
        values = quantizer.decode(codes)
    elif isinstance(quantizer, GaussianBottleneck):
        values = quantizer.posterior(vectors)[0]
    else:
        values = quantizer(vectors).values
    return LevelAnalysis(vectors, codes, values), values


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


def latent_bits(levels: Sequence[CodeLevel], found: Sequence[LevelAnalysis]) -> Tensor:
    """Bits (B,) of each signal's codes at a fixed length, or of its continuous latent.

    Args:
        levels: of the tokenizer.
        found: what passed through each.
    """
    first, vectors = levels[0].quantizer, found[0].vectors
    if isinstance(first, GaussianBottleneck):  # then it is the only level
        return over_extent(first.kl_bits(vectors))
    pairs = zip(levels, found, strict=True)
    bits = sum(level.bits * one.vectors.shape[1:-1].numel() for level, one in pairs)
    return vectors.new_full((len(vectors),), bits)


def analyse_groups(
    blocks: Blocks,
    found: Sequence[Analysis],
    grids: Sequence[Sequence[int]],
    extent: Sequence[int],
) -> Analysis:
    """The analysis of a padded batch, from those of its groups.

    Args:
        blocks: where the signals are.
        found: one for each group.
        grids: of the codes of each level of the batch.
        extent: of the batch.
    """

    def level(number: int) -> LevelAnalysis:
        each = [one.levels[number] for one in found]
        codes = [one.codes for one in each if one.codes is not None]
        return LevelAnalysis(
            blocks.place([one.vectors for one in each], grids[number]),
            blocks.place(codes, grids[number], fill=OUTSIDE) if codes else None,
            blocks.place([one.values for one in each], grids[number]),
        )

    return Analysis(
        tuple(level(number) for number in range(len(grids))),
        blocks.place([one.output for one in found], extent, lead=2),
        BitsPerDim(
            blocks.place([one.bits.codes for one in found], ()),
            blocks.place([one.bits.likelihood for one in found], ()),
        ),
    )


@dataclass(frozen=True, slots=True)
class Passage:
    """The result of one pass of images (B, C, H, W); all its parts are local.

    Attributes:
        levels: vectors, codes and values of each level, the coarsest first.
        output: (B, C, H, W) in [0, 1], what remains of the images.
        log_prob: (B, H, W) nats, log p of each pixel given the values.
    """

    levels: list[LevelAnalysis]
    output: Tensor
    log_prob: Tensor


def pass_in_tiles(
    signals: Tensor,
    cut: Sequence[Tile],
    strides: Sequence[int],
    pass_one: Callable[[Tensor], Passage],
) -> Passage:
    """The passage of whole signals of a discrete tokenizer, joined from their tiles.

    Args:
        signals: (B, C, H, W).
        cut: the tiles of each.
        strides: pixels per position of each level.
        pass_one: passes the part (1, C, h, w) that the network sees for a tile.
    """

    def seen(number: int, tile: Tile) -> list[Tensor]:
        found = pass_one(signals[number : number + 1, :, *tile.seen()])
        grids = [g for f in found.levels for g in (f.vectors, f.codes, f.values) if g is not None]
        return [*grids, found.output.movedim(1, -1), found.log_prob]

    steps = [stride for stride in strides for _ in range(3)]
    *grids, output, log_prob = gather(len(signals), cut, [*steps, 1, 1], seen)
    height, width = signals.shape[-2:]
    levels = [LevelAnalysis(*grids[i : i + 3]) for i in range(0, len(grids), 3)]
    return Passage(
        levels, output.movedim(-1, 1)[..., :height, :width], log_prob[:, :height, :width]
    )
