"""Predictions by counting: codes by their frequency, and by neighbouring codes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from vocabula.errors import ShapeError

_CONCENTRATIONS = tuple(2.0**power for power in range(-6, 19))


def context_nats(
    codes: Tensor,
    held_out: Tensor,
    codebook_size: int,
    neighbours: int,
    given: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Nats per held-out code under a model of counts, fitted on other codes.

    With 0 neighbours it uses the code's frequency (order 0); with 1, its frequency after the
    preceding code along the last axis (left); with 2, after that code and the preceding one along
    the second-last axis (above); and so on. Counts of a context c are smoothed with the shorter
    context's prediction q, the shortest with q = 1 / K:

        p(k | c) = (n(c, k) + a q(k)) / (n(c) + a)

    Each context length has its own a, the power of 2 under which the fitted codes themselves are
    most probable when each is left out of the counts. A separate code stands beyond the border.

    Args:
        codes: (N, *grid) integers in [0, K) to count, N >= 1; negative ones are no codes, such as
            those after the end of shorter signals.
        held_out: (M, *grid) integers in [0, K) to predict, M >= 1; negative ones likewise.
        codebook_size: K.
        neighbours: neighbours known, from 0 to the axes of the grid.
        given: integers that are known of each code besides, such as those of another book at the
            same position: of `codes` and of `held_out`, of their shapes.

    Returns:
        () float64, the mean of -log p over the held-out codes.

    Raises:
        ShapeError: the grids differ in their axes, there are no codes, or too many neighbours.

    Example:
        >>> codes = torch.tensor([[0, 1, 0, 1]])
        >>> bool(context_nats(codes, codes, 2, 1) < context_nats(codes, codes, 2, 0))
        True

    Source: MacKay and Peto 1995, "A Hierarchical Dirichlet Language Model", equation 9, with a
    by leaving one out rather than by its evidence.
    """
    axes = codes.ndim - 1
    if held_out.ndim != codes.ndim or not (codes.numel() and held_out.numel()):
        raise ShapeError(
            f"context_nats: expected codes (N, *grid) and (M, *grid), none empty, got "
            f"{tuple(codes.shape)} and {tuple(held_out.shape)}; give codes of one tokenizer"
        )
    if not 0 <= neighbours <= axes:
        raise ShapeError(
            f"context_nats: expected from 0 to {axes} neighbours, got {neighbours}; "
            "a grid has one for each axis"
        )
    inside = [None if bool((part >= 0).all()) else part >= 0 for part in (codes, held_out)]

    def chosen(parts: Iterable[Tensor]) -> Tensor:
        pairs = zip(parts, inside, strict=True)
        return torch.cat([(p.flatten() if i is None else p[i]).long() for p, i in pairs])

    both = chosen((codes, held_out))
    fitted = codes.numel() if inside[0] is None else int(inside[0].sum())
    probability = both.new_full(both.shape, 1 / codebook_size, dtype=torch.float64)
    context = torch.zeros_like(both)
    beside = (
        [_before(part, axes + 1 - known, codebook_size) for part in (codes, held_out)]
        for known in range(1, neighbours + 1)
    )
    for added in (None, *beside, *([given] if given else [])):
        if added is not None:
            values = chosen(added)
            joint = context * (int(values.max()) + 1) + values
            context = joint.unique(return_inverse=True)[1]
        pair = (context * codebook_size + both).unique(return_inverse=True)[1]
        probability = _smoothed(context, pair, probability, fitted)
    return -probability[fitted:].log().mean()


def _smoothed(context: Tensor, pair: Tensor, lower: Tensor, fitted: int) -> Tensor:
    """Probabilities of codes in their contexts; each fitted code is left out of its own counts.

    Args:
        context: (N + M,) index of each code's context; the first N are fitted.
        pair: (N + M,) number of context and code together.
        lower: (N + M,) probabilities given the shorter context.
        fitted: N.
    """
    of_context, of_pair = (
        torch.bincount(ids[:fitted], minlength=int(ids.max()) + 1)[ids].double()
        for ids in (context, pair)
    )
    of_context[:fitted] -= 1
    of_pair[:fitted] -= 1
    best, highest = lower, -torch.inf
    for a in _CONCENTRATIONS:
        probability = (of_pair + a * lower) / (of_context + a)
        score = float(probability[:fitted].log().mean())
        if score > highest:
            best, highest = probability, score
    return best


def _before(codes: Tensor, axis: int, border: int) -> Tensor:
    """The code before each code along an axis, and `border` before the first."""
    first = torch.full_like(codes.narrow(axis, 0, 1), border)
    return torch.cat([first, codes.narrow(axis, 0, codes.shape[axis] - 1)], axis).long()
