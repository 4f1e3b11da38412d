"""How often every codeword was used: exact counts over a whole data set, for books of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

DENSE_LIMIT = 2**22
"""Books up to this size are counted in one array (32 MB); larger ones by their distinct codes."""


class CodeHistogram:
    """Counts of the codes of one book.

    Args:
        codebook_size: K, the number of codewords.
    """

    def __init__(self, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        self.total = 0
        self._dense = torch.zeros(codebook_size if codebook_size <= DENSE_LIMIT else 0).long()
        self._sparse: dict[int, int] = {}

    def add(self, codes: Tensor) -> None:
        """Count codes (any shape, int64, below K); negative ones mark left-out stages: skipped."""
        flat = codes.detach().reshape(-1).cpu()
        flat = flat[flat >= 0]
        self.total += flat.numel()
        if self.codebook_size <= DENSE_LIMIT:
            self._dense += torch.bincount(flat, minlength=self.codebook_size)
            return
        found, counts = flat.unique(return_counts=True)
        for code, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._sparse[code] = self._sparse.get(code, 0) + count

    def ranked(self) -> tuple[Tensor, Tensor]:
        """The used codes and their counts, most frequent first, ties by the lower code.

        Returns:
            codes (U,) and counts (U,), int64, U the number of codewords used.
        """
        if self.codebook_size <= DENSE_LIMIT:
            codes = self._dense.nonzero().squeeze(1)
            counts = self._dense[codes]
        else:
            codes = torch.tensor(sorted(self._sparse), dtype=torch.int64)
            counts = torch.tensor([self._sparse[c] for c in codes.tolist()], dtype=torch.int64)
        order = counts.argsort(descending=True, stable=True)
        return codes[order], counts[order]

    @property
    def used(self) -> int:
        """Number of codewords used at least once."""
        if self.codebook_size <= DENSE_LIMIT:
            return int((self._dense > 0).sum())
        return len(self._sparse)

    @property
    def usage(self) -> float:
        """Fraction of the codewords used at least once, in [0, 1]."""
        return self.used / self.codebook_size

    @property
    def perplexity(self) -> float:
        """Exp of the entropy (nats) of the histogram, in [1, K]; 1 where nothing was counted."""
        if self.total == 0:
            return 1.0
        p = self.ranked()[1].double() / self.total
        return math.exp(-float((p * p.log()).sum()))

    @property
    def largest_share(self) -> float:
        """Fraction of the codes that the most used codeword takes, in [0, 1]."""
        return float(self.ranked()[1][0]) / self.total if self.total else 0.0


def books_of(codes: Tensor, books: int) -> Sequence[Tensor]:
    """The codes of each book.

    Args:
        codes: (*batch, *code_shape); code_shape is () for one book and (books,) for several.
        books: number of books.

    Returns:
        one int64 tensor a book; an empty list for a continuous bottleneck (no books).
    """
    if books == 0:
        return []
    return codes.reshape(-1, books).unbind(1) if books > 1 else [codes.reshape(-1)]
