"""Learns how values are scaled, and refuses vectors that no codebook can learn from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vocabula.data import Source
from vocabula.errors import DataError
from vocabula.nn.identity import IdentityEncoder
from vocabula.quantizers import VectorQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of
from vocabula.tokenizers.scaling import NoScaling


def fit_scaling(tokenizer: SignalTokenizer, source: Source) -> None:
    """Learn the scale of the values and check vectors, in one pass over the data.

    Signals with axes hold many vectors each and are not checked.

    Args:
        tokenizer: what will learn.
        source: the signals.

    Raises:
        DataError: there are fewer vectors than codewords, all are equal, or one is zero where the
            codebook compares directions.
    """
    scaling = tokenizer.scaling
    if tokenizer.signal.axes:
        if scaling is not None:
            scaling.fit(part.values for batch in source.batches() for part in batch.unpadded())
        return
    check = _VectorCheck(tokenizer, source)
    changes = scaling is not None and not isinstance(scaling, NoScaling)
    values = check.values(directions=not changes)
    if scaling is not None:
        scaling.fit(values)
    for _ in values:  # what the scaling has not read
        pass
    check.finish()
    if changes and check.by_direction:  # which vectors become zero is known only now
        for _ in check.values(directions=True):
            pass


class _VectorCheck:
    """Counts and compares the vectors of a source while they are read."""

    def __init__(self, tokenizer: SignalTokenizer, source: Source) -> None:
        self._tokenizer, self._source = tokenizer, source
        self._books = [part for part in tokenizer.modules() if isinstance(part, VectorQuantizer)]
        bare = isinstance(tokenizer.parts()["encoder"][0], IdentityEncoder)
        self.by_direction = bare and any(book.distance == "cosine" for book in self._books)
        self._count, self._equal = 0, True
        self._first: Tensor | None = None

    @torch.no_grad()
    def values(self, *, directions: bool) -> Iterator[Tensor]:
        """The vectors (B, D), batch by batch; zero ones are refused if they need a direction."""
        self._count = 0
        for batch in self._source.batches():
            x = self._tokenizer.signal.to_values(batch.values)
            self._first = x[:1] if self._first is None else self._first
            self._equal = self._equal and bool((x == self._first).all())
            self._count += len(x)
            if directions and self.by_direction:
                self._check_directions(x, batch.indices)
            yield x

    def finish(self) -> None:
        """Refuse too few vectors, and equal ones."""
        name, count = self._source.name, self._count
        if self._equal and count > 1:
            raise DataError(
                f"{name}: expected different vectors, got {count} equal ones; check the data"
            )
        most = max((size for book in self._books for size in book.codebook_sizes), default=0)
        if count < most:
            raise DataError(
                f"{name}: expected at least {most} vectors, one for each codeword, got {count}; "
                f"give more, or smaller books (codebook_size={max(2, count // 4)})"
            )

    def _check_directions(self, x: Tensor, rows: Tensor) -> None:
        scaling = self._tokenizer.scaling
        seen = x if scaling is None else scaling(x.to(device_of(self._tokenizer)))
        none = ~seen.any(1).cpu()
        if bool(none.any()):
            raise DataError(
                f"{self._source.name}[{int(rows[none][0])}]: expected a direction for "
                "distance=cosine, got a zero vector; leave such rows out, or take "
                "distance=euclidean"
            )
