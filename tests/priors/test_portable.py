"""The portable prior: what it looks at, its steps, and that its probabilities are some."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors import CodeGrid, Condition, Conditioning, PortablePrior, load, save
from vocabula.priors.context import SKEW, causal_places
from vocabula.priors.fixed_point import curve, integers, stepped, values
from vocabula.priors.interleaved import known_places, scale_and_kind

TINY = {
    "one book": (CodeGrid((3,), (2, 2)), ()),
    "books": (CodeGrid((2, 3), (1, 3)), ()),
    "digits": (CodeGrid((5,), (3, 1), largest_symbol=2), ()),
    "coarser": (CodeGrid((3,), (2, 2)), (CodeGrid((4,), (1, 1)),)),
    "series": (CodeGrid((3,), (4,)), ()),
    "series of books": (CodeGrid((2, 3), (3,)), ()),
    "series, coarser": (CodeGrid((3,), (4,)), (CodeGrid((4,), (2,)),)),
}
GRIDS = [name for name, (codes, _) in TINY.items() if len(codes.grid) == 2]
CASES = [(name, "raster") for name in TINY] + [(name, "interleaved") for name in GRIDS]


def make(codes: CodeGrid, upper: tuple[CodeGrid, ...] = (), **options: Any) -> PortablePrior:
    """A prior in float64 and evaluation mode, with weights that are not small."""
    torch.manual_seed(1)
    small = {"hidden": 12, "layers": 1, "embedding": 5, "reach": 2, **options}
    prior = PortablePrior(codes, Conditioning(upper=upper), **small).double().eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(std=0.5)
    return prior


def condition_of(upper: tuple[CodeGrid, ...], batch: int) -> Condition | None:
    return Condition(upper=tuple(torch.full((batch, *u.grid), 2) for u in upper)) if upper else None


@pytest.mark.parametrize(("name", "order"), CASES)
def test_probabilities_of_all_sequences_sum_to_one(name: str, order: str) -> None:
    codes, upper = TINY[name]
    ranges = [range(k) for _ in range(codes.positions) for k in codes.codebook_sizes]
    every = torch.tensor(list(itertools.product(*ranges)))
    every = every.reshape(-1, *codes.grid, *codes.shape_of_code)
    prior = make(codes, upper, order=order)
    total = prior.log_prob(every, condition_of(upper, len(every))).exp().sum()
    assert abs(total.item() - 1) < 1e-12


@pytest.mark.parametrize(("name", "order"), CASES)
def test_the_cache_changes_nothing(name: str, order: str) -> None:
    codes, upper = TINY[name]
    prior = make(codes, upper, order=order)
    drawn = [
        prior.sample((4, *codes.grid), condition_of(upper, 4), seed=3, cache=cache)
        for cache in (True, False)
    ]
    assert torch.equal(*drawn)


def test_it_looks_at_nothing_later_and_at_all_within_reach() -> None:
    """By changing one code at a time: in raster order, by wave, and book after book."""
    grid, reach = (5, 6), 2
    prior = make(CodeGrid((4, 3), grid), reach=reach, layers=2)
    torch.manual_seed(0)
    codes = torch.stack([torch.randint(k, (*grid,)) for k in (4, 3)], -1)
    with torch.inference_mode():
        before = _logits(prior, codes)
        for r, c, book in itertools.product(range(5), range(6), range(2)):
            other = codes.clone()
            other[r, c, book] = (other[r, c, book] + 1) % (4, 3)[book]
            after = _logits(prior, other)
            changed = [
                set(map(tuple, (a != b).any(-1).nonzero().tolist()))
                for a, b in zip(after, before, strict=True)
            ]
            around = {(r - down, c - right) for down, right in causal_places(reach)}
            own = {(y, x) for y, x in around if 0 <= y < 5 and 0 <= x < 6}
            assert changed[book] <= own
            assert len(changed[book]) >= 0.8 * len(own)
            if book == 0:
                near = {(r, c), (r, c + 1), (r + 1, c), (r + 1, c + 1), (r + 1, c - 1)}
                assert changed[1] <= near and (r, c) in changed[1]
            else:
                assert not changed[0]  # an earlier book knows nothing of a later one
            for y, x in changed[book]:
                assert x + SKEW * y > c + SKEW * r


def test_in_interleaved_order_grids_double_and_context_is_on_all_sides() -> None:
    """Of 8 x 8 positions: corners, then midpoints of four, of rows and of columns, three times."""
    row, column = torch.arange(64) // 8, torch.arange(64) % 8
    scale, kind = scale_and_kind(row, column)
    rank = (-3 * scale + kind).reshape(8, 8)
    order = rank.flatten().argsort(stable=True)
    assert [divmod(i, 8) for i in order[:6].tolist()] == [
        (0, 0), (4, 4), (0, 4), (4, 0), (2, 2), (2, 6)
    ]  # fmt: skip
    assert len(order[-48:]) == int((scale == 0).sum())  # three quarters have direct neighbours
    around = [(-1, 0), (0, -1), (0, 1), (1, 0)]
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    assert known_places(0, 1) == corners or known_places(0, 2)[:4] == corners
    assert known_places(1, 2)[:4] == around and set(known_places(2, 2)[:8]) == {*around, *corners}
    for k, reach in itertools.product(range(3), (1, 2, 3)):
        at = {0: (3, 3), 1: (4, 3), 2: (3, 4)}[k]
        places = [(at[0] + d, at[1] + r) for d, r in known_places(k, reach)]
        assert all(rank[place] < rank[at] for place in places if max(place) < 8)


def test_in_interleaved_order_it_looks_at_nothing_later() -> None:
    """By changing one code at a time: within a book by rank, and book after book."""
    upper = (CodeGrid((4,), (3, 3)),)
    prior = make(CodeGrid((4, 3), (6, 6)), upper, reach=3, layers=2, order="interleaved")
    torch.manual_seed(0)
    codes = torch.stack([torch.randint(k, (6, 6)) for k in (4, 3)], -1)
    place = torch.arange(36)
    scale, kind = scale_and_kind(place // 6, place % 6)
    rank = (-3 * scale + kind).reshape(6, 6)
    given = Condition(upper=(torch.ones(1, 3, 3, dtype=torch.long),))

    def logits(codes: Tensor) -> list[Tensor]:
        return [part[0] for part in prior.symbol_logits(prior.codes.split(codes[None]), given)]

    with torch.inference_mode():
        before, seen = logits(codes), torch.zeros(6, 6, dtype=torch.long)
        for r, c, book in itertools.product(range(6), range(6), range(2)):
            other = codes.clone()
            other[r, c, book] = (other[r, c, book] + 1) % (4, 3)[book]
            after = logits(other)
            changed = [(a != b).any(-1) for a, b in zip(after, before, strict=True)]
            assert bool((rank[changed[book]] > rank[r, c]).all())
            seen += changed[book] * (book == 0)
            if book == 0:  # the next book sees all places around
                beside = ((place // 6 - r).abs() <= 1) & ((place % 6 - c).abs() <= 1)
                assert torch.equal(changed[1].flatten(), beside)
            else:
                assert not bool(changed[0].any())
    assert int(seen[3, 4]) >= 8 and int(seen[0, 0]) == 0


def test_in_a_series_it_looks_back_along_the_axis() -> None:
    """`reach` positions of its own book, and of the book before the one before and the same."""
    length, reach = 9, 3
    prior = make(CodeGrid((4, 3), (length,)), reach=reach)
    torch.manual_seed(0)
    codes = torch.stack([torch.randint(k, (length,)) for k in (4, 3)], -1)
    with torch.inference_mode():
        before = _logits(prior, codes)
        for t, book in itertools.product(range(length), range(2)):
            other = codes.clone()
            other[t, book] = (other[t, book] + 1) % (4, 3)[book]
            changed = [
                set((a != b).any(-1).nonzero()[:, 0].tolist())
                for a, b in zip(_logits(prior, other), before, strict=True)
            ]
            assert changed[book] == set(range(t + 1, min(length, t + 1 + reach)))
            if book == 0:
                assert changed[1] == {t, t + 1} & set(range(length))
            else:
                assert not changed[0]
    assert prior.networks[0].first.in_features == 5 * reach  # nothing above is looked at


def _logits(prior: PortablePrior, codes: Tensor) -> list[Tensor]:
    symbols = prior.codes.split(codes[None])
    return [part[0] for part in prior.symbol_logits(symbols, Condition())]


def test_places_before_a_position() -> None:
    assert causal_places(1) == [(0, -1), (-1, -1), (-1, 0), (-1, 1)]
    assert (-1, 3) not in causal_places(4) and (-2, 4) in causal_places(4)
    assert len(causal_places(4)) == 4 + 7 + 9 + 9 + 9


def test_steps_and_their_gradient() -> None:
    x = torch.tensor([0.3, 0.375, -0.375, 9.0, -9.0], requires_grad=True)
    found = stepped(x, 2, 8.0)
    assert found.tolist() == [0.25, 0.5, -0.25, 7.75, -8.0]
    found.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0] * 5
    assert integers(x, 2, 8.0).tolist() == [1.0, 2.0, -1.0, 31.0, -32.0]


def test_the_activation() -> None:
    x = torch.linspace(-20, 20, 999, dtype=torch.float64)
    exact = x * x.sigmoid()
    assert (curve(x) - exact).abs().max() < 0.01
    assert curve(torch.tensor(100.0)) == pytest.approx(100, abs=0.01)


def test_values_are_on_their_steps() -> None:
    prior = make(CodeGrid((9,), (3, 3)))
    codes = torch.randint(9, (2, 3, 3))
    for logits in prior.symbol_logits(prior.codes.split(codes), Condition()):
        assert torch.equal(logits * 256, (logits * 256).round())
    prior.steps = False
    plain = prior.symbol_logits(prior.codes.split(codes), Condition())[0]
    assert not torch.equal(plain * 256, (plain * 256).round())


def test_any_grid() -> None:
    prior = make(CodeGrid((9,), (3, 3)))
    assert prior.sample((2, 5, 4), seed=0).shape == (2, 5, 4)


@pytest.mark.slow
def test_it_learns() -> None:
    """Codes that repeat their left neighbour plus one cost nothing but the first of each row."""
    torch.manual_seed(0)
    prior = PortablePrior(CodeGrid((8,), (4, 8)), hidden=32, layers=1, reach=1)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.01)
    for _ in range(150):
        first = torch.randint(8, (16, 4, 1))
        codes = (first + torch.arange(8)) % 8
        optimizer.zero_grad()
        loss = prior.loss(codes)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.15 * 2.0794 / 8  # ln 8 for one code of eight


def test_saved_and_loaded(tmp_path: Path) -> None:
    prior = PortablePrior(CodeGrid((2000,), (3, 3)), hidden=8, layers=1)
    save(prior, tmp_path / "prior")
    again = load(tmp_path / "prior")
    assert isinstance(again, PortablePrior)
    assert again.fingerprint() == prior.fingerprint()
    assert again.codes.symbol_sizes == (45, 45)


def test_no_classes_no_text_and_at_most_two_axes() -> None:
    codes = CodeGrid((4,), (3, 3))
    with pytest.raises(OptionError, match="expected no class and no text"):
        PortablePrior(codes, Conditioning(classes=2))
    with pytest.raises(OptionError, match="expected grids of 1 or 2 axes"):
        PortablePrior(CodeGrid((4,), (3, 3, 3)))
    with pytest.raises(OptionError, match=r"the same for all levels, got \(4,\), \(1,\)"):
        PortablePrior(CodeGrid((4,), (4,)), Conditioning(upper=(CodeGrid((4,), (1,)),)))


def test_too_few_coarser_codes() -> None:
    upper = CodeGrid((4,), (2, 2))
    prior = make(CodeGrid((4,), (4, 4)), (upper,))
    with pytest.raises(OptionError, match=r"expected .* coarser codes"):
        prior.log_prob(
            torch.zeros(1, 4, 4, dtype=torch.long),
            Condition(upper=(torch.zeros(1, 1, 2, dtype=torch.long),)),
        )


def test_embeddings_are_the_table_itself() -> None:
    prior = make(CodeGrid((3, 4), (2, 2)), (CodeGrid((5,), (1, 1)),))
    (first, second), (upper,) = prior.embeddings()
    assert [len(first), len(second), len(upper)] == [3, 4, 5]
    with torch.no_grad():
        second.fill_(7.0)
    assert (prior.table == 7).all(1).nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert torch.equal(values(prior.table)[4], torch.full((5,), 7.0, dtype=torch.float64))
