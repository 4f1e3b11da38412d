"""Orders of the codes of a book in which similar ones are neighbours, for the adaptive model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import CompositeQuantizer
from vocabula.quantizers.finite_scalar import FiniteScalarQuantizer
from vocabula.quantizers.lookup_free import LookupFreeQuantizer

_POWER_STEPS = 16


def orders_of(
    quantizers: Sequence[Quantizer], counts: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint32], ...]:
    """The order of each book of quantizers; see `order_of`.

    Args:
        quantizers: of all levels, the coarsest first.
        counts: (K,) for each book, how often each code is used.
    """
    single = [part for quantizer in quantizers for part in _single_books(quantizer)]
    return tuple(order_of(part, count) for part, count in zip(single, counts, strict=True))


def _single_books(quantizer: Quantizer) -> Iterator[Quantizer]:
    """The single-book quantizers that make up a quantizer, in the order of its codes."""
    if isinstance(quantizer, CompositeQuantizer):
        for part in quantizer.parts:
            yield from _single_books(part)
    else:
        yield from [quantizer] * quantizer.books


def order_of(quantizer: Quantizer, counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """An order of a book's codes in which similar ones are neighbours.

    Look-up free and finite scalar codes spell out their vectors and keep their order. Other
    codebooks are halved along their principal axis recursively; the leaves of that tree give the
    order.

    Args:
        quantizer: a quantizer with one book.
        counts: (K,) how often each code is used, which is its weight.
    """
    size = len(counts)
    own = isinstance(quantizer, LookupFreeQuantizer | FiniteScalarQuantizer)
    if own or quantizer.books > 1 or size < 3:
        return np.arange(size, dtype=np.uint32)
    device = next(iter([*quantizer.parameters(), *quantizer.buffers()])).device
    codewords = quantizer.decode(torch.arange(size, device=device)).float().cpu()
    weights = torch.from_numpy(counts).float() + 1
    return principal_order(codewords, weights).numpy().astype(np.uint32)


def principal_order(vectors: Tensor, weights: Tensor) -> Tensor:
    """The leaves (K,) of a balanced tree that halves vectors (K, D) along principal axes.

    Like the adaptive model's tree, it has 2^ceil(log2 K) leaves, the missing ones at its end.
    """
    size, leaves = len(vectors), 1 << (len(vectors) - 1).bit_length()
    absent = leaves - size
    x = torch.cat([vectors, vectors.new_zeros(absent, vectors.shape[1])])
    w = torch.cat([weights, weights.new_zeros(absent)])
    order = torch.arange(leaves)
    groups = 1
    while groups < leaves:
        part = order.reshape(groups, -1)
        inside, heavy = x[part], w[part][..., None]
        total = heavy.sum(1, keepdim=True).clamp_min(1e-30)
        centred = inside - (inside * heavy).sum(1, keepdim=True) / total
        # The axis of largest variance is a start that is never orthogonal to the answer.
        variance = (centred.square() * heavy).sum(1)
        axis = torch.nn.functional.one_hot(variance.argmax(-1), x.shape[1]).to(x.dtype)
        for _ in range(_POWER_STEPS):
            moved = ((centred @ axis[..., None]) * heavy * centred).sum(1)
            axis = moved / moved.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        place = (centred @ axis[..., None])[..., 0]
        place = torch.where(part >= size, torch.inf, place)
        order = part.gather(1, place.argsort(dim=1, stable=True)).reshape(-1)
        groups *= 2
    return order[:size]
