"""The layers of PixelSNAIL: gated residuals for near places, attention for distant ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, glu, scaled_dot_product_attention

from vocabula.priors.raster import CausalConvolution, later


class GatedResidual(nn.Module):
    """``x + a sigmoid(b)`` with (a, b) = conv(elu(conv(elu(norm(x))) + condition)).

    Args:
        width: channels C.
        axes: axes D of the grid.
        kernel: odd width of the convolutions.
        conditioned: whether a condition (..., C) comes in.
        dropout: between the convolutions, in training.
    """

    def __init__(
        self, width: int, axes: int, kernel: int, *, conditioned: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = CausalConvolution(width, width, axes, kernel, strict=False)
        self.condition = nn.Linear(width, width, bias=False) if conditioned else None
        self.dropout = nn.Dropout(dropout)
        self.second = CausalConvolution(width, 2 * width, axes, kernel, strict=False)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Transform x (B, *grid, C)."""
        inner = self.first(elu(self.norm(x)))
        if self.condition is not None and condition is not None:
            inner = inner + self.condition(condition)
        return x + glu(self.second(self.dropout(elu(inner))), -1)


class CausalAttention(nn.Module):
    """``x + W attention``: each position looks at features and codes of all earlier ones.

    Key and value i are made from position i - 1, and the first from zeros, so that the first
    position also has something to look at.

    Args:
        width: channels C.
        heads: number of heads; must divide C.
        places: features of where a position is.
        dropout: of the result, in training.
    """

    def __init__(self, width: int, heads: int, places: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width + places, width)
        self.key_value = nn.Linear(2 * width + places, 2 * width)
        self.project = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, codes: Tensor, places: Tensor) -> Tensor:
        """Transform x (B, *grid, C).

        Args:
            x: features of the codes before each position.
            codes: (B, *grid, C) embedded codes.
            places: (n, F) where the positions are.
        """
        normed = self.norm(x)
        earlier = later(torch.cat([normed, codes], -1)).flatten(1, -2)
        where = places.expand(len(x), -1, -1)
        query = self.query(torch.cat([normed.flatten(1, -2), where], -1))
        key, value = self.key_value(torch.cat([earlier, where], -1)).chunk(2, -1)
        attended = scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), is_causal=True
        )
        joined = attended.transpose(1, 2).flatten(2)
        return x + self.dropout(self.project(joined)).reshape(x.shape)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
