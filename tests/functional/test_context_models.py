"""Models that count codes, against hand arithmetic, loops in float64 and known entropies."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from vocabula.errors import ShapeError
from vocabula.functional.context_models import context_nats

CONCENTRATIONS = [2.0**power for power in range(-6, 19)]


def by_loops(codes: Tensor, held_out: Tensor, size: int, neighbours: int) -> float:
    """The definition in the docstring, code by code."""

    def context(grid: Tensor, place: tuple[int, ...], known: int) -> tuple[int, ...]:
        found = []
        for back in range(1, known + 1):
            before = list(place)
            before[-back] -= 1
            found.append(int(grid[tuple(before)]) if before[-back] >= 0 else -1)
        return tuple(found)

    def pairs(grids: Tensor, known: int) -> list[tuple[tuple[int, ...], int]]:
        places = list(itertools.product(*(range(side) for side in grids.shape[1:])))
        return [
            (context(grid, place, known), int(grid[place])) for grid in grids for place in places
        ]

    fitted, other = [1 / size] * codes.numel(), [1 / size] * held_out.numel()
    for known in range(neighbours + 1):
        seen, new = pairs(codes, known), pairs(held_out, known)
        joint, single = Counter(seen), Counter(c for c, _ in seen)

        def without_itself(a: float, seen=seen, joint=joint, single=single, low=fitted):
            return [
                (joint[pair] - 1 + a * q) / (single[pair[0]] - 1 + a)
                for pair, q in zip(seen, low, strict=True)
            ]

        best = max(CONCENTRATIONS, key=lambda a: sum(map(math.log, without_itself(a))))
        other = [
            (joint[pair] + best * q) / (single[pair[0]] + best)
            for pair, q in zip(new, other, strict=True)
        ]
        fitted = without_itself(best)
    return -sum(map(math.log, other)) / len(other)


def test_frequencies_by_hand() -> None:
    # all fitted codes are 0: the smallest a, 1/64, makes them most probable;
    # p(0) = (4 + 1/128) / (4 + 1/64), p(1) = (1/128) / (4 + 1/64)
    codes = torch.zeros(1, 4, dtype=torch.long)
    a = 1 / 64
    expected = -(math.log((4 + a / 2) / (4 + a)) + math.log((a / 2) / (4 + a))) / 2
    assert float(context_nats(codes, torch.tensor([[0, 1]]), 2, 0)) == pytest.approx(expected)


@pytest.mark.parametrize("neighbours", [0, 1, 2])
@pytest.mark.parametrize("grid", [(4, 5), (2, 3, 3)])
def test_counts_agree_with_loops(grid: tuple[int, ...], neighbours: int) -> None:
    codes, held_out = torch.randint(0, 3, (6, *grid)), torch.randint(0, 4, (3, *grid))
    codes[..., 1] = codes[..., 0]
    found = float(context_nats(codes, held_out, 5, neighbours))
    assert found == pytest.approx(by_loops(codes, held_out, 5, neighbours), abs=1e-12)


def test_a_markov_chain_costs_its_entropy_rate() -> None:
    stay = torch.rand(3000, 50) < 0.9
    other = torch.randint(1, 4, (3000, 50))
    chain = (torch.randint(0, 4, (3000, 1)) + torch.where(stay, 0, other).cumsum(1)) % 4
    # H = -0.9 ln 0.9 - 0.1 ln(0.1 / 3); the first code of a row has no neighbour and costs ln 4
    rate = -0.9 * math.log(0.9) - 0.1 * math.log(0.1 / 3)
    expected = (49 * rate + math.log(4)) / 50
    assert float(context_nats(chain[:2000], chain[2000:], 4, 1)) == pytest.approx(
        expected, rel=0.01
    )
    assert float(context_nats(chain[:2000], chain[2000:], 4, 0)) == pytest.approx(
        math.log(4), rel=0.001
    )


def test_what_has_no_structure_costs_ln_k_however_many_neighbours() -> None:
    codes = torch.randint(0, 64, (300, 8, 8))
    for neighbours in (0, 1, 2):
        nats = float(context_nats(codes[:200], codes[200:], 64, neighbours))
        assert nats == pytest.approx(math.log(64), rel=0.002)


def test_the_second_neighbour_is_the_one_above() -> None:
    first = torch.randint(0, 7, (400, 1, 6))
    codes = (first + torch.arange(6)[:, None]) % 7  # each code is the one above plus 1
    left = float(context_nats(codes[:300], codes[300:], 7, 1))
    above = float(context_nats(codes[:300], codes[300:], 7, 2))
    assert left > 0.9 * math.log(7)
    assert above < 0.25 * math.log(7)  # the first row, a sixth of all, is not to be known


def test_books_of_two_to_the_20_do_not_overflow() -> None:
    codes = torch.randint(0, 2**20, (4, 8, 8))
    nats = float(context_nats(codes, codes.flip(0), 2**20, 2))
    assert math.isfinite(nats)
    assert nats < math.log(2**20)


@pytest.mark.parametrize(
    ("shapes", "neighbours", "message"),
    [
        (((2, 3), (2, 3)), 2, "from 0 to 1 neighbours, got 2"),
        (((2, 3), (2, 3, 3)), 1, "none empty"),
        (((2, 3), (0, 3)), 0, "none empty"),
    ],
)
def test_what_does_not_fit_is_refused(
    shapes: tuple[tuple[int, ...], ...], neighbours: int, message: str
) -> None:
    parts = [torch.zeros(shape, dtype=torch.long) for shape in shapes]
    with pytest.raises(ShapeError, match=message):
        context_nats(*parts, 2, neighbours)
