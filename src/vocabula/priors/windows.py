"""Codes of signals that are longer than the context of their prior: windows that overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.prior import Prior
from vocabula.priors.sampling import Known, Progress
from vocabula.signals import Condition


def windows(count: int, context: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Where windows of a signal start, and how many of their positions are known.

    Every window but the first begins with the last `overlap` positions of the one before; the last
    window ends with the signal and may have more of them.

    Args:
        count: positions of the signal.
        context: positions of a window.
        overlap: in [1, context).

    Example:
        >>> list(windows(10, 4, 2))
        [(0, 0), (2, 2), (4, 2), (6, 2)]
        >>> list(windows(9, 4, 1))
        [(0, 0), (3, 1), (5, 2)]
    """
    done = 0
    while done < count:
        start = max(0, min(done - overlap, count - context)) if done else 0
        yield start, done - start
        done = min(start + context, count)


def overlap_of(prior: Prior, share: float) -> int:
    """Positions of a window of a prior's context that are a share of it.

    Raises:
        OptionError: the share is not in (0, 1).
    """
    if not 0 < share < 1:
        raise OptionError(
            f"sample.overlap: expected a share of the context in (0, 1), got {share:g}; try 0.5"
        )
    context = prior.codes.grid[0]
    return min(max(1, round(share * context)), max(1, context - 1))


def draw(
    prior: Prior,
    batch: int,
    count: int,
    condition: Condition,
    *,
    numbers: Tensor,
    overlap: int | None = None,
    known: Known | None = None,
    progress: Progress | None = None,
    **drawing: Any,
) -> Tensor:
    """Draw codes (B, count, *code_shape) of one axis, in windows where the context is shorter.

    Each code depends on all before it in its window. In a window the prior is told that it sees
    that part of the whole, if it has learned parts; times beyond the longest signal of its training
    are scaled to that.

    Args:
        prior: the model, of one axis.
        batch: number of signals B.
        count: positions of each.
        condition: of the signals; `Condition.timing` is their own where it is given.
        numbers: (B, count x symbols or more) in [0, 1), which make the draws.
        overlap: positions that windows share; None: there is one window. A prior that is given
            coarser codes has one, too: these say what comes when.
        known: see `Prior.sample`.
        progress: see `Prior.sample`.
        **drawing: further options of `Prior.sample`.
    """
    context, slots = prior.codes.grid[0], len(prior.codes.slots)
    if overlap is None or count <= context or prior.conditioning.upper:
        given = _told(prior, condition, batch, 0, count)
        shape = (batch, count)
        return prior.sample(
            shape, given, numbers=numbers, known=known, progress=progress, **drawing
        )
    shape_of_code = prior.codes.shape_of_code
    codes = torch.zeros(batch, count, *shape_of_code, dtype=torch.long, device=prior.device)
    mask = torch.zeros(batch, count, dtype=torch.bool, device=prior.device)
    if known is not None:
        codes, mask = known[0].to(prior.device).clone(), known[1].expand(batch, count).clone()
    for start, done in windows(count, context, overlap):
        here = slice(start, start + context)
        mask[:, start : start + done] = True
        codes[:, here] = prior.sample(
            (batch, len(range(*here.indices(count)))),
            _told(prior, condition, batch, start, count),
            numbers=numbers[:, start * slots :],
            known=(codes[:, here], mask[:, here]),
            progress=_new_positions(progress, start, done, count),
            **drawing,
        )
    return codes


def _told(prior: Prior, condition: Condition, batch: int, start: int, count: int) -> Condition:
    """The condition with the times of a part that starts at a position."""
    longest = prior.conditioning.timing
    if not longest:
        return condition
    timing = condition.timing
    if timing is None:
        timing = torch.tensor([[0, count]]).repeat(batch, 1)
    totals = timing[:, 1]
    starts = torch.full_like(totals, start)
    beyond = totals > longest
    starts = torch.where(beyond, starts * longest // totals, starts)
    if prior.codes.grid[0] >= longest:  # it has only seen whole signals
        starts = torch.zeros_like(starts)
    return replace(condition, timing=torch.stack([starts, totals.clamp(max=longest)], 1))


def _new_positions(progress: Progress | None, start: int, done: int, count: int) -> Progress | None:
    """The progress of the new positions of a window, as part of the whole."""
    if progress is None:
        return None

    def advance(position: int, _: int) -> None:
        if position > done:
            progress(start + position, count)

    return advance
