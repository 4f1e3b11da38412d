"""Networks that map a basis (K, basis_dim) to codewords (K, D): a matrix, an MLP, attention."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.registry import component

Size = Annotated[int, Ge(1)]


class CodebookTransform(nn.Module):
    """A network from a basis (K, basis_dim) to codewords (K, D).

    Where both widths are equal, the ones below start as the identity: a skip connection and a last
    layer of zeros.

    Attributes:
        basis_dim: width of the basis that it takes.
    """

    component_kind = "transform"
    basis_dim: int


@component("transform", "linear")
class LinearTransform(CodebookTransform):
    """One matrix: e_k = c_k W.

    Args:
        dim: D, width of the codewords.
        basis_dim: width of the basis; None: D. Between two widths W starts at random.

    Source:
        Zhu et al. 2024 (SimVQ), equation 8.
    """

    def __init__(self, dim: Size, *, basis_dim: Size | None = None) -> None:
        super().__init__()
        self.basis_dim = basis_dim or dim
        self.weight = nn.Parameter(_skip(self.basis_dim, dim))

    def forward(self, basis: Tensor) -> Tensor:
        """Codewords (K, D) of a basis (K, basis_dim)."""
        return basis @ self.weight


@component("transform", "mlp")
class MLPTransform(CodebookTransform):
    """A residual perceptron: e_k = c_k S + gelu(c_k A + a) B + b, the same for every codeword.

    Args:
        dim: D, width of the codewords.
        basis_dim: width of the basis; None: D, where S is the identity and not trained.
        hidden: width of the hidden layer; None: 2 D.
    """

    def __init__(
        self, dim: Size, *, basis_dim: Size | None = None, hidden: Size | None = None
    ) -> None:
        super().__init__()
        self.basis_dim = basis_dim or dim
        self.skip = None if self.basis_dim == dim else nn.Parameter(_skip(self.basis_dim, dim))
        self.enter = nn.Linear(self.basis_dim, hidden or 2 * dim)
        self.leave = _zero(nn.Linear(hidden or 2 * dim, dim))

    def forward(self, basis: Tensor) -> Tensor:
        """Codewords (K, D) of a basis (K, basis_dim)."""
        start = basis if self.skip is None else basis @ self.skip
        return start + self.leave(F.gelu(self.enter(basis)))


@component("transform", "attention")
class AttentionTransform(CodebookTransform):
    """Attention over the whole codebook: every codeword depends on all others (VQBridge).

    ::

        (K, basis_dim) ─▶ tokens of `patch` rows, compressed ─▶ blocks ─▶ recovered ─▶ + ─▶ (K, D)
              └──────────────────────────── S ─────────────────────────────────────────┘

    Memory grows with heads (K / patch)^2.

    Args:
        dim: D, width of the codewords.
        basis_dim: width of the basis; None: D, where S is the identity and not trained.
        patch: rows of the basis that make one token; it divides K.
        width: width of a token.
        heads: attention heads; they divide `width`.
        layers: Transformer blocks.

    Raises:
        OptionError: `heads` does not divide `width`, or `patch` not K.

    Source:
        Chang et al. 2025 (FVQ), "Scalable Training for Vector-Quantized Networks with 100 %
        Codebook Utilization", arXiv:2509.10140. We deviate: the skip connection, and no position.
    """

    def __init__(
        self,
        dim: Size,
        *,
        basis_dim: Size | None = None,
        patch: Size = 1,
        width: Size = 128,
        heads: Size = 4,
        layers: Size = 2,
    ) -> None:
        super().__init__()
        if width % heads:
            raise OptionError(
                f"AttentionTransform.heads: expected a divisor of width {width}, got {heads}; "
                "change one of them"
            )
        self.basis_dim = basis_dim or dim
        self.patch = patch
        self.skip = None if self.basis_dim == dim else nn.Parameter(_skip(self.basis_dim, dim))
        self.compress = nn.Linear(patch * self.basis_dim, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(layers)))
        self.recover = _zero(nn.Linear(width, patch * dim))

    def forward(self, basis: Tensor) -> Tensor:
        """Codewords (K, D) of a basis (K, basis_dim)."""
        if basis.shape[0] % self.patch:
            raise OptionError(
                f"AttentionTransform.patch: expected a divisor of {basis.shape[0]} codewords, "
                f"got {self.patch}; change it or codebook_size"
            )
        start = basis if self.skip is None else basis @ self.skip
        tokens = self.blocks(self.compress(basis.reshape(-1, self.patch * self.basis_dim)))
        return start + self.recover(tokens).reshape(start.shape)


class _Block(nn.Module):
    """A Transformer block on tokens (T, width), normalised before each half."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (T, width) that have seen each other."""
        mixed = self.query_key_value(self.before_attention(tokens))
        query, key, value = mixed.unflatten(-1, (3, self.heads, -1)).movedim(0, 2)
        weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, -1)
        tokens = tokens + self.joined((weights @ value).movedim(0, 1).flatten(1))
        tokens = tokens + self.mlp(self.before_mlp(tokens))
        return tokens


def _skip(basis_dim: int, dim: int) -> Tensor:
    """The identity, or between two widths a random map (basis_dim, D) that keeps mean squares."""
    return torch.eye(dim) if basis_dim == dim else torch.randn(basis_dim, dim) / dim**0.5


def _zero(layer: nn.Linear) -> nn.Linear:
    """The layer, with weights of zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
