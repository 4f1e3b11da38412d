"""What one pass of a tokenizer over images gives: codes, reconstructions and bits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class BitsPerDim:
    """What an image costs, in bits per channel of a pixel.

    Attributes:
        codes: (B,) bits of the codes, or of the continuous latent.
        likelihood: (B,) bits of the 8-bit image given the latent.
    """

    codes: Tensor
    likelihood: Tensor

    @property
    def total(self) -> Tensor:
        """(B,) the sum: an upper bound on -log2 p(x) / (C H W)."""
        return self.codes + self.likelihood


@dataclass(frozen=True, slots=True)
class Analysis:
    """What `Tokenizer.analyse` finds out about images (B, C, H, W).

    Attributes:
        vectors: (B, h, w, D), the encoder's.
        codes: (B, h, w, *code_shape) int64, or None where the bottleneck is continuous.
        output: (B, C, H, W) in [0, 1], what remains of the images.
        bits: what each image costs.
    """

    vectors: Tensor
    codes: Tensor | None
    output: Tensor
    bits: BitsPerDim
