"""A linear map to the log-probabilities of codes, and codewords of few components, of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.functional import distributed, nearest_codeword
from vocabula.functional._checks import counted

#: The least temperature, over the codewords' spread: float32 separates nothing closer.
LEAST = 1e-6


def posterior(z: Tensor, mask: Tensor | None, codewords: Tensor) -> tuple[Tensor, Tensor]:
    """The weight (K, D) and bias (K,) whose logits are those of the nearest codewords.

    ::

        w_k . z + b_k = -||z - e_k||^2 / (2 s^2) + a term that is equal for all k
        w_k = (e_k - m) / s^2      b_k = -(e_k - m) . (e_k + m) / (2 s^2)

    with m the mean codeword and s^2 = mean(||z - e_k*||^2) / D the error of the nearest codewords
    for each component. The softmax is the posterior of a mixture of equal normal distributions
    about the codewords; its argmax is the nearest one. Taking m away keeps the digits of vectors
    with a strong mean.

    Args:
        z: (N, D) vectors of this process; the error is over all processes.
        mask: (N,) those that count; None: all.
        codewords: (K, D).
    """
    z, e = z.to(codewords), codewords
    squares = (z - e[nearest_codeword(z, e)]).square().sum(-1)
    valid = torch.ones_like(squares) if mask is None else counted(mask).to(squares)
    error, rows = distributed.all_reduce_sum(torch.stack([squares @ valid, valid.sum()]))
    centred = e - e.mean(0)
    spread = centred.square().sum(-1).mean()
    total = torch.maximum(error / rows.clamp_min(1), LEAST * spread)
    variance = torch.where(total > 0, total / e.shape[1], 1.0)
    return centred / variance, -(centred * (e + e.mean(0))).sum(-1) / (2 * variance)


def principal(vectors: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codewords (K, width), and the map with weight (D, width) and bias (D,) that leads to vectors.

    They are coordinates along the principal directions of `vectors` (K, D); further ones are 0.
    """
    mean = vectors.mean(0)
    centred = vectors - mean
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :width]
    weight = vectors.new_zeros(vectors.shape[1], width)
    weight[:, : directions.shape[1]] = directions
    return centred @ weight, weight, mean
