"""What each code would cost at each position of a signal, counted from the signal's own codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

PRIOR = 64.0
"""Codes that the shares of training count for beside those of a signal."""
TRUST = 2.0
"""Codes that a context's table is filled up with, in the shares of the common table."""
SEEN = 3.0
"""A context seen n times counts n / (n + 3), as at the start of the adaptive model."""
STRENGTHS = (0.0, 0.15, 0.3, 0.45, 0.6)
"""Exponents of a context's ratio to the common shares, of which the best is taken."""
LEAST = 2.0**-10
"""Count of a code that nothing else uses and that was not known before."""
TABLE = 2**24
"""Entries of the largest table of a context; a larger one would be empty nearly everywhere."""
TRIED = 1024
"""Positions on which the strengths are compared."""


class CountedPrices:
    """Bits of every code at each position: counts of all other codes, the position left out.

    ::

        p_0(k) = (n(k) + prior_k) / sum        p_c(k) = (n(c, k) + 2 p_0(k)) / (n(c) + 2)
        p(k) ~ p_0(k) prod_c (p_c(k) / p_0(k))^(w n(c) / (n(c) + 3))

    An adaptive coder has to learn a code before it is cheap. So has a code here: the position's own
    code counts nowhere, and one that nothing else uses costs as much as if it had never occurred.

    Args:
        codes: (N,) the codes of a book.
        prior: (K,) counts that are known before, such as of training.
        contexts: (N,) numbers from 0, what is known at each position.

    Source: leaving out: Ney, Essen & Kneser 1995, "On the estimation of small probabilities by
    leaving-one-out"; the product as in Mahoney 2005, see `codec.AdaptiveModel`.
    """

    def __init__(self, codes: Tensor, prior: Tensor, contexts: Sequence[Tensor] = ()) -> None:
        self._codes, size = codes, len(prior)
        counts = torch.bincount(codes, minlength=size) + prior.double()
        total = counts.sum() - 1  # without the position
        self._common = (counts / total).log().float()
        kept = ((counts - 1).clamp_min(LEAST) / total)[codes]
        self._own = kept.log().float()
        self._tables: list[tuple[Tensor, Tensor]] = []
        self._own_ratio = torch.zeros_like(self._own)
        for context in contexts:
            width = int(context.max()) + 1
            if width * size > TABLE:
                continue
            table = torch.bincount(context * size + codes, minlength=width * size)
            table = table.view(width, size).double()
            seen = (table.sum(1, keepdim=True) - 1).clamp_min(0)
            share = seen / (seen + SEEN)
            ratio = ((table * total / counts + TRUST) / (seen + TRUST)).log() * share
            own = (table[context, codes] - 1) / kept + TRUST
            own = (own / (seen[context, 0] + TRUST)).log() * share[context, 0]
            self._tables.append((context, ratio.float()))
            self._own_ratio += own.float()
        self.strength = self._best_strength() if self._tables else 0.0

    def __call__(self, rows: slice) -> Tensor:
        """Bits (n, K) at the positions of a slice."""
        return self._bits(rows, self._ratios(rows), self.strength)

    def _best_strength(self) -> float:
        """The exponent under which the codes as they are cost least."""
        some = slice(None, None, max(1, len(self._codes) // TRIED))
        own, ratios = self._codes[some, None], self._ratios(some)
        costs = {w: float(self._bits(some, ratios, w).gather(1, own).sum()) for w in STRENGTHS}
        return min(costs, key=lambda strength: costs[strength])

    def _ratios(self, rows: slice) -> Tensor | None:
        """The sum (n, K) of what the contexts say, each by how much it has seen."""
        found: Tensor | None = None
        for context, table in self._tables:
            more = table[context[rows]]
            found = more if found is None else found.add_(more)
        return found

    def _bits(self, rows: slice, ratios: Tensor | None, strength: float) -> Tensor:
        codes, own = self._codes[rows], self._own[rows] + strength * self._own_ratio[rows]
        nats = self._common.expand(len(codes), -1)
        if ratios is not None:
            nats = nats.add(ratios, alpha=strength)
        nats = nats.scatter(1, codes[:, None], own[:, None])
        return (nats - nats.logsumexp(-1, keepdim=True)).mul_(-1 / math.log(2))


def neighbours(codes: Tensor, before: Tensor | None) -> list[Tensor]:
    """What an adaptive coder sees at each position of a book: (N,) each.

    Args:
        codes: (B, *grid) of the book.
        before: (B, *grid) of the book before it at the same positions, if there is one.

    Returns:
        The codes before along each axis of the grid, and of the book before; 0 stands for none.
    """
    beside = []
    for axis in range(1, codes.ndim):
        first = torch.zeros_like(codes.narrow(axis, 0, 1))
        moved = codes.narrow(axis, 0, codes.shape[axis] - 1) + 1
        beside.append(torch.cat([first, moved], axis).flatten())
    return beside if before is None else [*beside, before.flatten()]


def parts_of(positions: int, size: int) -> list[slice]:
    """Slices of positions whose prices (n, K) are held at a time."""
    step = max(1, 2**20 // size)
    ends = [*range(0, positions, step), positions]
    return [slice(first, after) for first, after in pairwise(ends)]
