"""What one pass of a tokenizer over images gives: codes, reconstructions and bits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vocabula.levels import only


@dataclass(frozen=True, slots=True)
class BitsPerDim:
    """What an image costs, in bits per channel of a pixel.

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
    """What passed through the bottleneck of one level.

    Attributes:
        vectors: (B, h, w, D), what went in.
        codes: (B, h, w, *code_shape) int64, or None where the bottleneck is continuous.
        values: (B, h, w, D), what came out, in evaluation.
    """

    vectors: Tensor
    codes: Tensor | None
    values: Tensor


@dataclass(frozen=True, slots=True)
class Analysis:
    """What `Tokenizer.analyse` finds out about images (B, C, H, W).

    Attributes:
        levels: vectors, codes and values of each level, the coarsest first.
        output: (B, C, H, W) in [0, 1], what remains of the images.
        bits: what each image costs.
    """

    levels: tuple[LevelAnalysis, ...]
    output: Tensor
    bits: BitsPerDim

    @property
    def vectors(self) -> Tensor:
        """(B, h, w, D), the encoder's, where there is one level."""
        return only(self.levels, "Analysis.vectors").vectors

    @property
    def codes(self) -> Tensor | None:
        """(B, h, w, *code_shape) int64, or None if continuous, where there is one level."""
        return only(self.levels, "Analysis.codes").codes
