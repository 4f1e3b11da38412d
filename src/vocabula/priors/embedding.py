"""The ends of a convolutional prior: codes and conditions in, logits of symbols out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from vocabula.priors.codes import CodeGrid


class CodeEmbedding(nn.Module):
    """The symbols of a position as one vector: the sum of their embeddings.

    Args:
        codes: what the codes look like.
        width: width of the vectors C.

    Shape:
        symbols (..., S) -> (..., C).
    """

    def __init__(self, codes: CodeGrid, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in codes.symbol_sizes)

    def weights(self) -> list[Tensor]:
        """The parameters (V_s, C) of each symbol."""
        tables: list[Any] = list(self.tables)
        return [table.weight for table in tables]

    def forward(self, symbols: Tensor) -> Tensor:
        """Embed symbols (..., S)."""
        vectors = [table(symbols[..., index]) for index, table in enumerate(self.tables)]
        return torch.stack(vectors).sum(0)


class SymbolHead(nn.Module):
    """Logits of the symbols of a position, each given the earlier ones.

    ``logits_s = W_s elu(U_s elu(h + sum over j < s of E_j[symbol_j]))``: for a single symbol the
    two 1 x 1 layers with which PixelCNN ends.

    Args:
        codes: what the codes look like.
        width: width of the features h.
    """

    def __init__(self, codes: CodeGrid, width: int) -> None:
        super().__init__()
        sizes = codes.symbol_sizes
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in sizes)
        self.outer = nn.ModuleList(nn.Linear(width, size) for size in sizes)
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in sizes[:-1])

    def forward(self, features: Tensor, symbols: Tensor) -> list[Tensor]:
        """Logits (..., V_s) of every symbol, of features (..., C) and symbols (..., S)."""
        logits = [self.logits(features, 0)]
        for slot in range(1, len(self.outer)):
            features = self.extend(features, slot - 1, symbols[..., slot - 1])
            logits.append(self.logits(features, slot))
        return logits

    def logits(self, features: Tensor, slot: int) -> Tensor:
        """Logits (..., V) of one symbol, of features that know the symbols before it."""
        logits: Tensor = self.outer[slot](elu(self.inner[slot](elu(features))))
        return logits

    def extend(self, features: Tensor, slot: int, symbol: Tensor) -> Tensor:
        """The features after the symbol (...) with index `slot` becomes known."""
        extended: Tensor = features + self.tables[slot](symbol)
        return extended
