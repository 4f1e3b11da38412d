"""Initial embeddings: symbols are as far apart as the vectors they stand for."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.priors.codes import CodeGrid
from vocabula.priors.prior import Prior
from vocabula.quantizers.base import Quantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_level import quantizers_of


def symbol_vectors(codes: CodeGrid, quantizer: Quantizer) -> list[Tensor]:
    """The change in the decoded vector for each value of each symbol of a position.

    The other symbols are held at 0; if a quantizer adds up its books, their value does not matter.

    Args:
        codes: what the codes look like.
        quantizer: the quantizer that decodes them.

    Returns:
        (V_s, D) float32 for every symbol, with mean 0 over its values.
    """
    sizes = codes.symbol_sizes
    vectors = []
    for index, size in enumerate(sizes):
        symbols = torch.zeros(size, len(sizes), dtype=torch.long)
        symbols[:, index] = torch.arange(size)
        decoded = quantizer.decode(codes.join(symbols)).float()
        vectors.append(decoded - decoded.mean(0))
    return vectors


@torch.no_grad()
def start_from_codebooks(prior: Prior, tokenizer: SignalTokenizer, level: int) -> None:
    """Set the embeddings of a new prior from the codebooks, in place.

    Each embedding becomes a random projection of the decoded vectors, of the standard deviation it
    had: similar codes begin with similar embeddings, so that what is learned about one holds for
        its neighbours. Otherwise an untrained network has to learn this from the codes.

    Args:
        prior: as it was made, not trained.
        tokenizer: of its codes.
        level: index of its level in the tokenizer, 0 for the coarsest.
    """
    grids = (prior.codes, *prior.conditioning.upper)
    found = quantizers_of(tokenizer.levels, "prior", "use a tokenizer with a codebook")
    quantizers = (found[level], *found[:level])
    for grid, quantizer, tables in zip(grids, quantizers, prior.embeddings(), strict=True):
        for table, vectors in zip(tables, symbol_vectors(grid, quantizer), strict=True):
            spread = vectors.std(correction=0)
            if spread > 0:
                dim, width = vectors.shape[1], table.shape[1]
                projected = vectors @ torch.randn(dim, width) / dim**0.5
                table.copy_(projected / spread * table.std())
