"""How well codes are predicted: nats per code of a prior, and of simple counting models."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.functional.context_models import context_nats
from vocabula.priors import Prior
from vocabula.priors.conditioned import ConditionedCodes

MOST_COUNTED = 2**22
"""Codes of each book that the models of counts are fitted on at most."""


@dataclass(frozen=True, slots=True)
class CodeNats:
    """How well a prior predicts codes.

    Attributes:
        signals: how many signals were measured.
        nats_per_token: mean of -log p over all codes.
        bits_per_dim: bits of a signal's codes divided by the number of its values.
        by_position: (*grid) nats per code at each position of signals, or of the windows that they
            are measured in, over those that reach it; NaN where none does.
        by_book: (books,) nats per code of each book.
    """

    signals: int
    nats_per_token: float
    bits_per_dim: float
    by_position: Tensor
    by_book: Tensor


@torch.no_grad()
def measure_codes(
    prior: Prior, data: ConditionedCodes, *, batch_size: int = 64, withheld: bool = False
) -> CodeNats:
    """Measure a prior on codes in evaluation mode, then restore its mode.

    Args:
        prior: the model.
        data: codes on its grid, at least one signal, with conditions that it knows.
        batch_size: most signals of a batch.
        withheld: keep every condition but coarser codes from the prior.
    """
    training = prior.training
    prior.eval()
    total, counts = torch.zeros(()), torch.zeros(())
    try:
        for codes, condition, counted in data.batches(batch_size):
            nats = -prior.log_probs(codes, condition.without() if withheld else condition)
            shape = (*counted.shape, *(1 for _ in codes.shape[counted.ndim :]))
            count = counted.double().reshape(shape)
            total = _added(total, (nats.cpu().double() * count).sum(0), counted.ndim - 1)
            counts = _added(counts, count.expand(nats.shape).sum(0), counted.ndim - 1)
    finally:
        prior.train(training)
    axes = len(prior.codes.grid)
    several = total.ndim > axes
    positions, reached = (x.flatten(axes) if several else x[..., None] for x in (total, counts))
    return CodeNats(
        signals=len(data),
        nats_per_token=float(total.sum() / counts.sum()),
        bits_per_dim=float(total.sum()) / math.log(2) / data.dimensions,
        by_position=positions.sum(-1) / reached.sum(-1),
        by_book=positions.flatten(0, -2).sum(0) / reached.flatten(0, -2).sum(0),
    )


def _added(total: Tensor, more: Tensor, axes: int) -> Tensor:
    """The sum of two grids with the same first corner, of which each may be larger."""
    if total.shape[:axes] == more.shape[:axes] or not total.ndim:
        return total + more
    grid = [max(pair) for pair in zip(total.shape[:axes], more.shape[:axes], strict=True)]
    found = total.new_zeros(*grid, *total.shape[axes:])
    for part in (total, more):
        found[tuple(slice(n) for n in part.shape[:axes])] += part
    return found


@dataclass(frozen=True, slots=True)
class CountedNats:
    """Nats per code of simple models on the same held-out codes.

    Attributes:
        uniform: ln K, mean over books.
        order0: the code's frequency.
        left: given the code before it in its row (of its book); on a grid of one position given
            the code of the book before.
        left_and_above: given that code and the code above; None on a grid of one axis.
    """

    uniform: float
    order0: float
    left: float
    left_and_above: float | None

    @property
    def neighbours(self) -> float:
        """The better result of the models with neighbours."""
        return min(self.left, self.left_and_above or math.inf)


def count_nats(fitted: ConditionedCodes, held_out: ConditionedCodes) -> CountedNats:
    """Fit counting models on codes and measure them on held-out codes; see `context_nats`.

    At most `MOST_COUNTED` codes of each book are counted, of signals drawn at random.
    """
    sizes = fitted.arrays.layouts[fitted.level].codebook_sizes
    axes = len(fitted.arrays.grids[fitted.level])
    uniform = sum(map(math.log, sizes)) / len(sizes)
    figures = [_mean(count_by_book(fitted, held_out, known)) for known in range(min(axes, 2) + 1)]
    return CountedNats(uniform, figures[0], figures[1], figures[2] if axes > 1 else None)


def order0_nats(fitted: ConditionedCodes, held_out: ConditionedCodes) -> float:
    """Nats per held-out code of the codes' frequencies."""
    return _mean(count_by_book(fitted, held_out, 0))


def _mean(nats: list[float]) -> float:
    return sum(nats) / len(nats)


def count_by_book(
    fitted: ConditionedCodes, held_out: ConditionedCodes, neighbours: int
) -> list[float]:
    """Nats per held-out code of each book under a model of counts; see `context_nats`.

    Args:
        fitted: codes to count; at most `MOST_COUNTED` of each book are.
        held_out: codes to predict.
        neighbours: codes that are known. Where a signal has one position, 1 stands for the code of
            the book before.
    """
    sizes = fitted.arrays.layouts[fitted.level].codebook_sizes
    alone = neighbours == 1 and fitted.arrays.grids[fitted.level] == (1,)
    nats, before = [], None
    for own, other, size in zip(_some(fitted).books(), held_out.books(), sizes, strict=True):
        found = context_nats(own, other, size, 0 if alone else neighbours, before)
        nats.append(float(found))
        before = (own, other) if alone else None
    return nats


def _some(data: ConditionedCodes) -> ConditionedCodes:
    """Randomly drawn signals with `MOST_COUNTED` positions in total."""
    positions = math.prod(data.arrays.grids[data.level])
    most = max(1, MOST_COUNTED // positions)
    return data if len(data) <= most else data.take(data.arrays.some(most))
