"""Refuses data of single vectors that no codebook can learn from, before anything is written."""

from __future__ import annotations

import torch

from vocabula.data import Source
from vocabula.errors import DataError
from vocabula.nn.mlp import IdentityEncoder
from vocabula.quantizers import VectorQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of


@torch.no_grad()
def check_vectors(tokenizer: SignalTokenizer, source: Source) -> None:
    """Check the number and the spread of vectors, in one pass over them.

    Signals with axes hold many vectors each and are not looked at.

    Args:
        tokenizer: what will learn, with its scaling learned.
        source: the signals.

    Raises:
        DataError: there are fewer vectors than codewords, all are equal, or one is zero where the
            codebook compares directions.
    """
    if tokenizer.signal.axes:
        return
    books = [part for part in tokenizer.modules() if isinstance(part, VectorQuantizer)]
    bare = isinstance(tokenizer.parts()["encoder"][0], IdentityEncoder)
    by_direction = bare and any(book.distance == "cosine" for book in books)
    device = device_of(tokenizer)
    count, first, equal = 0, None, True
    for batch in source.batches():
        x = tokenizer.signal.to_values(batch.values.to(device))
        first = x[:1] if first is None else first
        equal = equal and bool((x == first).all())
        count += len(x)
        seen = x if tokenizer.scaling is None else tokenizer.scaling(x)
        if by_direction and not bool(seen.any(1).all()):
            row = int(batch.indices[~seen.any(1).cpu()][0])
            raise DataError(
                f"{source.name}[{row}]: expected a direction for distance=cosine, got a zero "
                "vector; leave such rows out, or take distance=euclidean"
            )
    if equal and count > 1:
        raise DataError(
            f"{source.name}: expected different vectors, got {count} equal ones; check the data"
        )
    most = max((size for book in books for size in book.codebook_sizes), default=0)
    if count < most:
        raise DataError(
            f"{source.name}: expected at least {most} vectors, one for each codeword, got {count}; "
            f"give more, or smaller books (codebook_size={max(2, count // 4)})"
        )
