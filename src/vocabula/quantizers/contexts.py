"""What the parts of a composite quantizer see of one another: the activity around each vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.rate import RateState


def has_contexts(quantizer: Quantizer) -> bool:
    """Whether a quantizer has a rate term whose table follows from what is decoded already."""
    terms = [module for module in quantizer.modules() if isinstance(module, RateState)]
    return any(term.rule.contexts > 1 for term in terms)


def show(part: Quantizer, activity: Tensor | None, decoded: Tensor | None) -> None:
    """Tell a part, before it searches, the activity around each vector.

    Args:
        part: a quantizer.
        activity: (N,) from coarser levels; None is silence.
        decoded: (N, *) what the parts before it decoded; None before the first.
    """
    before = None if decoded is None else decoded.detach().square().sum(-1)
    known = [each for each in (activity, before) if each is not None]
    part.activity = torch.stack(known).sum(0) if known else None


def total_penalties(found: Sequence[Tensor | None]) -> Tensor | None:
    """The sum (N,) of what parts cost beside the squared error; None if no part does."""
    kept = [penalties for penalties in found if penalties is not None]
    return torch.stack(kept).sum(0) if kept else None


def penalties_in_order(
    parts: Sequence[Quantizer],
    pieces: Sequence[Tensor],
    present: Sequence[Tensor | None],
    activity: Tensor | None,
    *,
    added: bool = True,
    contextual: bool = True,
) -> Tensor | None:
    """What the codes of all parts cost beside the squared error (N,); None: nothing.

    Args:
        parts: of a composite quantizer.
        pieces: their codes.
        present: (N,) the rows that have each part's codes; None for all.
        activity: see `show`.
        added: whether the parts' vectors add up, as residual stages do, or stand side by side.
        contextual: whether a part's cost depends on what the parts before it decoded.
    """
    found: list[Tensor | None] = []
    before: Tensor | None = None
    for part, piece, here in zip(parts, pieces, present, strict=True):
        if contextual:
            show(part, activity, before)
        paid = part._penalties(piece)
        found.append(paid if paid is None or here is None else torch.where(here, paid, 0))
        if not contextual:
            continue
        values = part._decode(piece)
        values = values if here is None else torch.where(here[:, None], values, 0)
        before = values if before is None or not added else before + values
    return total_penalties(found)
