"""PixelSNAIL: causal convolutions for near places, causal attention for distant ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.convolutional import ConvolutionalPrior
from vocabula.priors.grids import at
from vocabula.priors.pixelsnail_layers import CausalAttention, GatedResidual
from vocabula.priors.pixelsnail_step import Step
from vocabula.priors.position_decoding import PositionDecoding
from vocabula.priors.raster import FREQUENCIES, CausalConvolution, places
from vocabula.registry import component
from vocabula.signals import Condition


@component("prior", "pixelsnail")
class PixelSNAIL(ConvolutionalPrior):
    """PixelSNAIL, for grids of 1, 2 or 3 axes.

    ::

        codes --> causal conv --> [gated residuals --> causal attention] x blocks --> head

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on.
        hidden: channels C.
        blocks: number of blocks.
        residuals: gated residual blocks before each attention.
        heads: attention heads; must divide `hidden`.
        kernel: odd width of the convolutions.
        dropout: probability in [0, 1) that a value within a block becomes 0 in training.

    Raises:
        OptionError: `heads` does not divide `hidden`, `kernel` is even, or a range is left.

    Example:
        >>> prior = PixelSNAIL(CodeGrid((512,), (8, 8)), hidden=32, blocks=1)
        >>> prior.sample((2, 8, 8), seed=0).shape
        torch.Size([2, 8, 8])

    Source: Chen et al. 2017, "PixelSNAIL: An Improved Autoregressive Generative Model", figure 5.
    Layer normalization replaces weight normalization, sines of the coordinates replace the
    coordinates, several heads replace one, and the head's two layers replace the mixture.
    """

    def __init__(
        self,
        codes: CodeGrid,
        conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
        *,
        hidden: Annotated[int, Ge(1)] = 128,
        blocks: Annotated[int, Ge(1)] = 3,
        residuals: Annotated[int, Ge(0)] = 2,
        heads: Annotated[int, Ge(1)] = 4,
        kernel: Annotated[int, Ge(3)] = 3,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__(codes, conditioning, hidden, dropout)
        for name, wrong, wanted in (
            ("heads", hidden % heads, f"a divisor of hidden={hidden}"),
            ("kernel", kernel % 2 == 0, "an odd number"),
        ):
            if wrong:
                got = {"heads": heads, "kernel": kernel}[name]
                raise OptionError(
                    f"PixelSNAIL.{name}: expected {wanted}, got {got}; change one of them"
                )
        axes, conditioned = len(codes.grid), self.encoder is not None
        self.start = CausalConvolution(hidden, hidden, axes, kernel, strict=True)
        self.residuals = nn.ModuleList(
            nn.ModuleList(
                GatedResidual(hidden, axes, kernel, conditioned=conditioned, dropout=dropout)
                for _ in range(residuals)
            )
            for _ in range(blocks)
        )
        width = 2 * FREQUENCIES * axes
        self.attentions = nn.ModuleList(
            CausalAttention(hidden, heads, width, dropout) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(hidden)

    def features(self, embedded: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, *grid, C) of embedded codes (B, *grid, C); see `ConvolutionalPrior`."""
        x = self.start(embedded)
        where = places(embedded.shape[1:-1], embedded)
        for residuals, attention in zip(self.residuals, self.attentions, strict=True):
            for residual in residuals.children():
                x = residual(x, condition)
            x = attention(x, embedded, where)
        return self.norm(x)

    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> PixelSNAILDecoding:
        """Start cached decoding; see `Prior`."""
        return PixelSNAILDecoding(self, batch, grid, condition)

    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """Keys and values of all positions, rings, places; see `Prior`."""
        positions, blocks = math.prod(grid), len(self.attentions)
        convolutions = [part for part in self.modules() if isinstance(part, CausalConvolution)]
        # for each attention: keys and values, and the places' terms in them and in the query
        vectors = 5 * blocks * positions
        for conv in convolutions:
            sides = (size + 2 * conv.radius for size in grid[1:])
            vectors += (conv.radius + 1) * math.prod(sides)
        cells = 2 * 64 * len(convolutions[0].offsets) * positions  # the ring's table of integers
        return self.vector_bytes * vectors + self.condition_bytes(grid) + cells


class PixelSNAILDecoding(PositionDecoding):
    """Cached decoding: the network at one position after the other."""

    def __init__(
        self, prior: PixelSNAIL, batch: int, grid: Sequence[int], condition: Condition
    ) -> None:
        super().__init__(prior, batch, grid)
        self._condition = prior.encode_condition(condition, self.grid)
        blocks = zip(prior.residuals, prior.attentions, strict=True)
        self._step = Step(prior.start, blocks, prior.norm, batch, self.grid)

    def advance(self, index: tuple[int, ...], before: Tensor | None) -> Tensor:
        """Features (B, C) of the position at `index`."""
        here = self._condition
        if here is not None:
            for axis in range(len(index)):
                here = at(here, axis, index)
            here = here.flatten(1)
        return self._step.run(before, here)
