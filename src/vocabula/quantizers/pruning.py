"""Codebooks without the codewords that nothing uses, and the map from old to new codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import distributed
from vocabula.signals.codes import CodeSpec
from vocabula.signatures.records import amend

if TYPE_CHECKING:
    from vocabula.quantizers.usage import UsageTracker


class Prunable(nn.Module):
    """A quantizer whose unused codewords can be removed, if it has a table of them.

    Attributes:
        spec: what the codes of one vector are.
        codebook_sizes: K of each book.
        usage_tracker: counts the codes, or None.
    """

    spec: CodeSpec
    codebook_sizes: tuple[int, ...]
    usage_tracker: UsageTracker | None
    anchor: Tensor

    @property
    def prunable(self) -> bool:
        """Whether `prune` can remove codewords: it has a table of them."""
        return False

    @torch.no_grad()
    def prune(self, counts: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Remove the codewords that are not used, after training.

        Settings, statistics and saved folders follow. Optimizers hold the old parameters: make new
        ones.

        Args:
            counts: how often each code occurs, (K,) per book, such as over all data; None takes
                the last training batches, see `usage_report`.

        Returns:
            Of each book the new code (K,) int64 of each old one, -1 where it was removed.

        Raises:
            OptionError: before any use, or for a quantizer without a table of codewords.
            ShapeError: if the counts do not fit the books.
        """
        if not self.prunable:
            raise OptionError(
                f"{type(self).__name__}.prune: expected a quantizer with a table of codewords, got "
                "one that computes them; choose fewer levels or bits, or a smaller codebook"
            )
        kept = self._uses(counts)[0] > 0
        self._select(kept.nonzero().squeeze(-1).to(self.anchor.device))
        self._resize((int(kept.sum()),))
        if self.usage_tracker is not None:
            self.usage_tracker.select(kept)
        amend(self, codebook_size=self.codebook_sizes[0])
        return (_new_codes(kept),)

    def _uses(self, counts: Sequence[Tensor] | None) -> list[Tensor]:
        """How often each code of each book occurs, (K,) each; refused before any use."""
        return uses(self, counts)

    def _select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',), indices in rising order."""

    def _resize(self, sizes: Sequence[int]) -> None:
        self.spec = CodeSpec(tuple(sizes), self.spec.code_shape)
        self.codebook_sizes = self.spec.codebook_sizes


def uses(quantizer: Prunable, counts: Sequence[Tensor] | None) -> list[Tensor]:
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


def _recent(quantizer: Prunable) -> list[Tensor]:
    """Counts of the usage window over all processes; zeros where none are kept."""
    tracker = quantizer.usage_tracker
    if tracker is None:
        return [torch.zeros(size, dtype=torch.int64) for size in quantizer.codebook_sizes]
    total = distributed.all_reduce_sum(tracker.counts.sum(0, dtype=torch.int64))
    return list(total.split(quantizer.codebook_sizes))


def _new_codes(kept: Tensor) -> Tensor:
    """The new code (K,) int64 of each old one, in the old order; -1 where `kept` (K,) is false."""
    return torch.where(kept, kept.cumsum(0) - 1, -1)
