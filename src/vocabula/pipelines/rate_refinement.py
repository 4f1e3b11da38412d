"""Refinement of codes: steps of the decoded error's gradient, each followed by a hard search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.codec.models import Prices
from vocabula.pipelines.priced_search import cheapest, searches
from vocabula.pipelines.rate_objective import Objective
from vocabula.pipelines.rate_prices import PRIOR, CountedPrices, neighbours, parts_of

SWEEPS = {2: 2, 3: 6}
"""Most passes over all levels by effort; those after effort 2's look at neighbouring codes."""
PATIENCE = 2
"""Passes without a gain after which the search ends."""


def refined(
    objective: Objective, levels: Sequence[Tensor], cost: float, effort: int
) -> list[Tensor]:
    """The best codes that sweeps find, never worse than those they begin with.

    ::

        z = v - 1/2 M^-1 grad ||decode(v) - x||^2
        v' = argmin (z - v')^T M (z - v') + price bits(v')

    A level's error is close to ``(v - z)^T M (v - z)`` around its vectors v, M being the mean of
    J^T J. So the codes of the least sum of that and of their bits are searched for, one level after
    the other with fresh gradients; residual stages by a beam. Bits of a code are those of the
    file's entropy model beside all other codes, or are counted; see `CountedPrices`.

    Args:
        objective: of the signals.
        levels: codes to begin with.
        cost: theirs.
        effort: 2 or 3.

    Source: Blumensath & Davies 2008, "Iterative thresholding for sparse approximations", where the
    step is followed by a hard choice; Yang et al. 2020, "Improving inference for neural image
    compression", for refining codes under the decoder.
    """
    best, found = list(levels), list(levels)
    waited = 0
    for number in range(SWEEPS[effort]):
        found = sweep(objective, found, contextual=number >= SWEEPS[2])
        paid = objective.cost(found)
        waited += 1
        if paid < cost:
            best, cost, waited = list(found), paid, 0
        if waited == PATIENCE:
            break
    return best


def sweep(objective: Objective, levels: Sequence[Tensor], *, contextual: bool) -> list[Tensor]:
    """New codes of each level in turn, the coarsest first."""
    found = list(levels)
    for number, quantizer in enumerate(objective.quantizers):
        values = objective.values(found)
        gradient = objective.gradient(values, number).flatten(0, -2)
        metric = objective.metrics[number]
        step = torch.linalg.solve(metric, gradient.T).T / 2
        target = values[number].flatten(0, -2) - step
        if searches(quantizer):
            codes = _searched(objective, found, number, target, contextual=contextual)
        else:
            codes = quantizer.encode(target)
        found[number] = codes.view_as(found[number])
    return found


def _searched(
    objective: Objective, levels: Sequence[Tensor], number: int, target: Tensor, *, contextual: bool
) -> Tensor:
    """The cheapest codes (N, books) of a level's targets (N, D)."""
    quantizer, metric = objective.quantizers[number], objective.metrics[number]
    prices = _prices(objective, levels, number, contextual=contextual)
    found = []
    for rows in parts_of(len(target), max(quantizer.codebook_sizes)):
        bits = [torch.as_tensor(each(rows)).to(target) for each in prices]
        paid = [objective.price * each for each in bits]
        found.append(cheapest(quantizer, target[rows], metric, paid))
    return torch.cat(found)


def _prices(
    objective: Objective, levels: Sequence[Tensor], number: int, *, contextual: bool
) -> list[Prices | CountedPrices]:
    """What each book's codes cost at the positions of a level."""
    quantizers, block = objective.quantizers, objective.block(levels)
    first = sum(quantizer.books for quantizer in quantizers[:number])
    stages = [stage for stage, books in enumerate(block.books) for _ in books]
    statistics = objective.tokenizer.code_statistics
    grids = levels[number].unsqueeze(-1) if not quantizers[number].code_shape else levels[number]
    found: list[Prices | CountedPrices] = []
    for book, size in enumerate(quantizers[number].codebook_sizes):
        stream = first + book
        given = objective.model.prices(block, stages[stream], stream)
        if given is not None:
            found.append(given)
            continue
        known = torch.from_numpy(statistics.counts[stream]) + 1 if statistics else torch.ones(size)
        usual = known.to(grids.device, torch.float32)
        before = grids[..., book - 1] if book else None
        seen = neighbours(grids[..., book], before) if contextual else ()
        prior = PRIOR * usual / usual.sum()
        found.append(CountedPrices(grids[..., book].flatten(), prior, seen))
    return found
