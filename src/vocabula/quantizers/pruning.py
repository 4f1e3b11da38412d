"""Codebooks without the codewords that nothing uses, and the map from old to new codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import distributed

if TYPE_CHECKING:
    from vocabula.quantizers.base import Quantizer


def uses(quantizer: Quantizer, counts: Sequence[Tensor] | None) -> list[Tensor]:
    """How often each code of each book occurs, (K,) each: `counts`, or those of the usage window.

    Raises:
        OptionError: if nothing was counted.
        ShapeError: if counts do not fit the books.
    """
    name, sizes = type(quantizer).__name__, quantizer.codebook_sizes
    if counts is None:
        found = _recent(quantizer)
    elif [tuple(c.shape) for c in counts] != [(size,) for size in sizes]:
        got = ", ".join(str(tuple(c.shape)) for c in counts)
        raise ShapeError(
            f"{name}.prune: expected counts of {', '.join(str((size,)) for size in sizes)}, got "
            f"{got or 'none'}; give one tensor (K,) per book"
        )
    else:
        found = list(counts)
    if any(not bool((c > 0).any()) for c in found):
        raise OptionError(
            f"{name}.prune: expected codes in use in every book, got a book without any; train it "
            "first, or give the counts of codes"
        )
    return found


def _recent(quantizer: Quantizer) -> list[Tensor]:
    """Counts of the usage window over all processes; zeros where none are kept."""
    tracker = quantizer.usage_tracker
    if tracker is None:
        return [torch.zeros(size, dtype=torch.int64) for size in quantizer.codebook_sizes]
    total = distributed.all_reduce_sum(tracker.counts.sum(0, dtype=torch.int64))
    return list(total.split(quantizer.codebook_sizes))


def new_codes(kept: Tensor) -> Tensor:
    """The new code (K,) int64 of each old one, in the old order; -1 where `kept` (K,) is false."""
    return torch.where(kept, kept.cumsum(0) - 1, -1)
