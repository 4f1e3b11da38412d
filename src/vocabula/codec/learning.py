"""Learning what the entropy models begin with: counts of training codes, and an order of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.layouts import discrete
from vocabula.data import ImageData, ImageSource
from vocabula.levels import levels_of
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import CompositeQuantizer
from vocabula.quantizers.finite_scalar import FiniteScalarQuantizer
from vocabula.quantizers.lookup_free import LookupFreeQuantizer
from vocabula.tokenizers import ImageTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import inference

BATCH_PIXELS = 2**19
ENOUGH_CODES, ENOUGH_EACH = 2**20, 256
"""Codes of a book after which counting ends: as many, and as many to a codeword."""
_POWER_STEPS = 16


def learn_statistics(
    tokenizer: ImageTokenizer,
    source: ImageSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> CodeStatistics:
    """Encode images and count their codes.

    Args:
        tokenizer: a tokenizer with a codebook.
        source: the images that it was trained on, or others like those to be compressed.
        batch_size: most images of a batch.
        limit: count the first `limit` images only; it also ends when a book has `ENOUGH_CODES` and,
            on average, `ENOUGH_EACH` to a codeword.
        advance: called with the images of each batch.

    Returns:
        The statistics; `CodeStatistics.save` puts them into the run's folder.

    Raises:
        OptionError: the tokenizer is continuous.
        DataError: the channels differ from the tokenizer's.
    """
    quantizers = discrete(tokenizer)
    sizes = [size for quantizer in quantizers for size in quantizer.codebook_sizes]
    enough = [max(ENOUGH_CODES, ENOUGH_EACH * size) for size in sizes]
    counts = [np.zeros(size, np.int64) for size in sizes]
    batches = ImageData().evaluation_batches(
        source, batch_size=batch_size, batch_pixels=BATCH_PIXELS, limit=limit
    )
    with closing(batches), inference(tokenizer) as device:
        for batch in batches:
            levels = levels_of(tokenizer.encode(batch.images.to(device)))
            books = [
                book
                for codes, quantizer in zip(levels, quantizers, strict=True)
                for book in codes.reshape(-1, len(quantizer.codebook_sizes)).T.cpu().numpy()
            ]
            for count, codes in zip(counts, books, strict=True):
                count += np.bincount(codes, minlength=len(count))
            advance(len(batch.paths))
            if any(count.sum() >= most for count, most in zip(counts, enough, strict=True)):
                break
        single = [part for quantizer in quantizers for part in _single_books(quantizer)]
        orders = [order_of(part, count) for part, count in zip(single, counts, strict=True)]
    return CodeStatistics(tokenizer.fingerprint(), tuple(counts), tuple(orders))


def _single_books(quantizer: Quantizer) -> Iterator[Quantizer]:
    """The quantizers of one book each that a quantizer is made of, in the order of its codes."""
    if isinstance(quantizer, CompositeQuantizer):
        for part in quantizer.parts:
            yield from _single_books(part)
    else:
        yield from [quantizer] * quantizer.books


def order_of(quantizer: Quantizer, counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """An order of a book's codes in which similar ones are neighbours.

    Look-up free and finite scalar codes spell out their vectors and stay as they are. Codewords of
    others are halved along their principal axis, each half again, and so on: the order of the
    leaves of that tree.

    Args:
        quantizer: of one book.
        counts: (K,) how often each code is used; it weighs that much.
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

    The tree has 2^ceil(log2 K) leaves, the missing ones at its end, as the adaptive model's has.
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
        # The axis of the largest variance is a start that is never at right angles to the answer.
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
