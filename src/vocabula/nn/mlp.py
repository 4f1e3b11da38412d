"""Networks for vectors: residual perceptrons, and the identity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import silu

from vocabula.nn.base import Decoder, Encoder
from vocabula.registry import component


class PerceptronBlock(nn.Module):
    """A residual block of vectors: ``x + W2 drop(silu(W1 norm(x)))``.

    Args:
        width: channels in and out.
        inner: channels between the two layers.
        dropout: probability in [0, 1) that a value before the last layer becomes 0 in training.

    Shape:
        (B, width) -> the same.

    Source: the feed-forward layer of Vaswani et al. 2017, "Attention Is All You Need", normalized
    before as in Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture".
    """

    def __init__(self, width: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, inner)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's correction to x (B, width)."""
        change: Tensor = self.second(self.dropout(silu(self.first(self.norm(x)))))
        return x + change


@component("encoder", "mlp")
class MLPEncoder(Encoder):
    """A perceptron from vectors to vectors: linear, residual blocks, norm, linear.

    Args:
        in_channels: width of the vectors.
        dim: width of what comes out, the quantizer's.
        hidden: width of the blocks.
        blocks: number of residual blocks.
        dropout: within a block, in training.

    Shape:
        (B, in_channels) -> (B, dim).
    """

    axes: ClassVar[int] = 0

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        blocks: Annotated[int, Ge(0)] = 2,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, 1
        self.layers = _perceptron(in_channels, dim, hidden, blocks, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Encode vectors x (B, in_channels) into (B, dim)."""
        encoded: Tensor = self.layers(x)
        return encoded


@component("decoder", "mlp")
class MLPDecoder(Decoder):
    """A perceptron from quantized vectors to the likelihood's parameters; see `MLPEncoder`.

    Args:
        dim: width of what comes in, the quantizer's.
        out_channels: the likelihood's parameters.
        hidden: width of the blocks.
        blocks: number of residual blocks.
        dropout: within a block, in training.

    Shape:
        (B, dim) -> (B, out_channels).
    """

    axes: ClassVar[int] = 0

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        blocks: Annotated[int, Ge(0)] = 2,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, 1
        self.layers = _perceptron(dim, out_channels, hidden, blocks, dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim) into (B, out_channels)."""
        decoded: Tensor = self.layers(z)
        return decoded


def _perceptron(first: int, last: int, hidden: int, blocks: int, dropout: float) -> nn.Sequential:
    inner = (PerceptronBlock(hidden, 2 * hidden, dropout) for _ in range(blocks))
    norm = nn.LayerNorm(hidden)
    return nn.Sequential(nn.Linear(first, hidden), *inner, norm, nn.Linear(hidden, last))
