"""Probabilities of codes: they sum to 1, have the values they must have, and can be learned."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from priors.builders import (
    CONDITIONS,
    PRIORS,
    condition,
    conditioning,
    every_grid,
    every_prior,
    make,
    random_codes,
    two_books,
)
from vocabula.errors import CodeError, DataError, OptionError
from vocabula.priors import CodeGrid, Condition, Conditioning, PixelCNN, Prior
from vocabula.priors.condition_encoder import UpperEncoder


def all_codes(codes: CodeGrid) -> Tensor:
    """Every tensor of codes there is, as one batch."""
    ranges = [range(size) for _ in range(codes.positions) for size in codes.codebook_sizes]
    every = torch.tensor(list(itertools.product(*ranges)))
    return every.reshape(-1, *codes.grid, *codes.shape_of_code)


TINY = {
    "1d": CodeGrid((4,), (4,)),
    "2d": CodeGrid((3,), (2, 2)),
    "3d": CodeGrid((2,), (2, 2, 2)),
    "books": CodeGrid((2, 3), (1, 3)),
    "digits": CodeGrid((5,), (3,), largest_symbol=2),
    "books of digits": CodeGrid((2, 5), (2,), largest_symbol=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("codes", TINY.values(), ids=list(TINY))
@every_prior
def test_probabilities_of_all_sequences_sum_to_one(kind: str, codes: CodeGrid) -> None:
    every = all_codes(codes)
    for given in CONDITIONS:
        prior = make(kind, codes, conditioning(given, codes.grid))
        one = condition(given, codes.grid, 1)
        if one is not None:
            one = repeated(one, len(every))
        total = prior.log_prob(every, one).exp().sum()
        assert abs(total.item() - 1) < 1e-12


def repeated(one: Condition, count: int) -> Condition:
    """The condition of one signal, for many."""
    while len(next(one.parts())[1]) < count:
        one = one.beside(one)
    return one.rows(slice(count))


def flatten_head(prior: Prior) -> Prior:
    """Give every symbol the same logit."""
    with torch.no_grad():
        for layer in prior.head.outer:
            layer.weight.zero_()
            layer.bias.zero_()
    return prior


@pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail"])
def test_equal_logits_are_a_uniform_distribution(kind: str) -> None:
    prior = flatten_head(make(kind, CodeGrid((7,), (2, 3))))
    codes = random_codes(prior.codes, 5)
    expected = torch.full((5,), -6 * math.log(7), dtype=torch.float64)
    torch.testing.assert_close(prior.log_prob(codes), expected)
    assert prior.loss(codes).item() == pytest.approx(math.log(7))
    assert prior.log_probs(codes).shape == codes.shape


def test_digits_that_lead_nowhere_have_no_probability() -> None:
    """5 codes in digits of base 2: after a first digit 1 only 00 can follow."""
    prior = flatten_head(make("pixelcnn", CodeGrid((5,), (1,), largest_symbol=2)))
    probabilities = prior.log_prob(torch.arange(5)[:, None]).exp()
    torch.testing.assert_close(
        probabilities, torch.tensor([0.125, 0.125, 0.125, 0.125, 0.5], dtype=torch.float64)
    )


@every_prior
def test_large_books_work_at_full_size(kind: str) -> None:
    codes = CodeGrid((2**18,), (2, 2))
    prior = make(kind, codes)
    assert codes.symbol_sizes == (512, 512)
    high = torch.full((1, 2, 2), 2**18 - 1)
    assert -8 * math.log(512) * 3 < prior.log_prob(high).item() < 0
    assert int(prior.sample((2, 2, 2), seed=0).max()) > 1000


@every_grid
@every_prior
def test_log_probs_are_per_code_and_the_loss_is_their_mean(
    kind: str, grid: tuple[int, ...]
) -> None:
    prior = make(kind, two_books(grid))
    codes = random_codes(prior.codes, 3)
    log_probs = prior.log_probs(codes)
    assert log_probs.shape == codes.shape and log_probs.dtype == torch.float64
    torch.testing.assert_close(prior.log_prob(codes), log_probs.sum(tuple(range(1, codes.ndim))))
    if kind.startswith("pixel"):
        torch.testing.assert_close(prior.loss(codes), -log_probs.mean())
    else:  # of the whole vocabulary: what the other tokens get is lost
        assert prior.loss(codes) > -log_probs.mean()


@every_prior
def test_half_precision_gives_probabilities_in_single(kind: str) -> None:
    prior = make(kind, two_books((2, 3))).bfloat16()
    codes = prior.sample((2, 2, 3), seed=0)
    assert prior.log_prob(codes).dtype == torch.float32
    assert prior.loss(codes).dtype == torch.float32


PATTERNS = torch.tensor([[[0, 1, 2], [3, 0, 1]], [[3, 3, 1], [1, 0, 0]]])


@pytest.mark.slow
@every_prior
def test_a_prior_learns_its_codes_by_class(kind: str) -> None:
    """Two patterns, one per class: with the class no doubt remains, without it two choices."""
    prior = PRIORS[kind](CodeGrid((4,), (2, 3)), Conditioning(classes=2, dropout=0.5))
    labels = torch.arange(16) % 2
    optimizer = torch.optim.Adam(prior.train().parameters(), 2e-2)
    for _ in range(50):
        optimizer.zero_grad()
        prior(PATTERNS[labels], Condition.of_class(labels)).backward()
        optimizer.step()
    prior.eval()
    assert prior.log_prob(PATTERNS, Condition.of_class(torch.arange(2))).min() > -0.3
    unconditional = prior.log_prob(PATTERNS).exp()
    assert unconditional.sum() > 0.8 and unconditional.min() > 0.2
    drawn = prior.sample(
        (20, 2, 3), Condition.of_class(torch.ones(20, dtype=torch.long)), seed=0, top_k=1
    )
    assert torch.equal(drawn, PATTERNS[1].expand(20, -1, -1))


@every_prior
def test_withheld_conditions_are_no_conditions(kind: str) -> None:
    known = Conditioning(classes=3, text_tokens=6, text_length=3, dropout=1 - 1e-12)
    prior = make(kind, two_books((2, 2)), known)
    codes = random_codes(prior.codes, 4)
    given = Condition({"class": torch.tensor([0, 1, 2, 0])}, torch.randint(1, 6, (4, 2)))
    without = prior.loss(codes)
    assert not torch.allclose(prior.loss(codes, given), without)
    torch.testing.assert_close(prior.train().loss(codes, given), without)
    nothing = Condition({"class": torch.full((4,), -1)}, torch.zeros(4, 3, dtype=torch.long))
    torch.testing.assert_close(prior.eval().loss(codes, nothing), without)


def test_coarser_codes_are_never_withheld() -> None:
    given = Condition(
        {"class": torch.tensor([1, 2])}, upper=(torch.ones(2, 1, 1, dtype=torch.long),)
    )
    dropped = given.without(torch.tensor([True, False]))
    assert dropped.attributes["class"].tolist() == [-1, 2]
    assert torch.equal(dropped.upper[0], given.upper[0])
    assert given.without().attributes["class"].tolist() == [-1, -1]


@pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail"])
def test_convolutions_work_on_grids_they_never_saw(kind: str) -> None:
    prior = make(kind, two_books((3, 3)), conditioning("upper", (3, 3)))
    codes = torch.zeros(2, 5, 6, 2, dtype=torch.long)
    upper = Condition(upper=(torch.ones(2, 3, 3, dtype=torch.long),))
    assert prior.log_prob(codes, upper).isfinite().all()
    assert prior.sample((2, 5, 6), upper, seed=0).shape == (2, 5, 6, 2)


@every_grid
def test_finer_positions_know_where_in_a_coarser_code_they_are(grid: tuple[int, ...]) -> None:
    """Of a field of equal coarser codes, each corner of a code has a vector of its own."""
    fine = tuple(2 * size for size in grid)
    encoder = UpperEncoder(CodeGrid((4,), grid), fine, 8).double()
    encoded = encoder(torch.ones(1, *grid, dtype=torch.long), fine)
    assert encoded.shape == (1, *fine, 8)
    axes = len(grid)
    for axis in range(1, 1 + axes):
        assert (encoded.select(axis, 0) - encoded.select(axis, 1)).abs().min() > 1e-6
    cropped = encoder(torch.ones(1, *grid, dtype=torch.long), tuple(n - 1 for n in fine))
    assert torch.equal(cropped, encoded[(slice(None), *[slice(None, -1)] * axes)])
    with pytest.raises(CodeError, match=r"condition\.upper: expected .* coarser codes for a grid"):
        encoder(torch.ones(1, *grid, dtype=torch.long), tuple(n + 1 for n in fine))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_transformer_works_on_fewer_rows_only(kind: str) -> None:
    prior = make(kind, two_books((3, 3)))
    codes = random_codes(prior.codes, 2)
    torch.testing.assert_close(prior.log_probs(codes[:, :2]), prior.log_probs(codes)[:, :2])
    for shape in ((2, 4, 3), (2, 3, 4)):
        with pytest.raises(OptionError, match=r"grid: expected \(3, 3\), or fewer along"):
            prior.sample(shape)
        with pytest.raises(OptionError, match="use that size, or a convolutional prior"):
            prior.log_prob(torch.zeros(*shape, 2, dtype=torch.long))


WRONG_CODES = {
    "shape": (torch.zeros(2, 3, 2, dtype=torch.long), r"got int64 of shape \(2, 3, 2\)"),
    "books": (torch.zeros(2, 3, 3, 3, dtype=torch.long), "expected integers of shape"),
    "type": (torch.zeros(2, 3, 3, 2), "got float32"),
    "high": (torch.full((2, 3, 3, 2), 3), "expected values below 3 x 23, got 3"),
    "negative": (torch.full((2, 3, 3, 2), -1), "got -1"),
}


@pytest.mark.parametrize(("codes", "message"), WRONG_CODES.values(), ids=list(WRONG_CODES))
def test_wrong_codes_are_refused(codes: Tensor, message: str) -> None:
    with pytest.raises(CodeError, match=message):
        make("pixelcnn", two_books((3, 3))).log_prob(codes)


LABELS = torch.tensor([0, 1])
UPPER = torch.zeros(2, 2, 2, dtype=torch.long)
WRONG_CONDITIONS = {
    "high": ("class", Condition.of_class(LABELS + 2), r"expected values in \[-1, 3\), got 3"),
    "batch": ("class", Condition.of_class(LABELS[:1]), "expected 2, one per signal, got 1"),
    "type": ("class", Condition.of_class(LABELS.float()), "expected integers of 1 axes"),
    "no classes": ("text", Condition.of_class(LABELS), "made without class"),
    "no text": ("class", Condition(text=LABELS[:, None]), "made without text"),
    "long": ("text", Condition(text=torch.ones(2, 4, dtype=torch.long)), "at most 3 tokens, got 4"),
    "missing": ("upper", None, "codes of 1 coarser levels, got 0"),
    "too many": ("upper", Condition(upper=(UPPER, UPPER)), "coarser levels, got 2"),
}


@pytest.mark.parametrize(
    ("given", "wrong", "message"), WRONG_CONDITIONS.values(), ids=list(WRONG_CONDITIONS)
)
def test_wrong_conditions_are_refused(given: str, wrong: Condition | None, message: str) -> None:
    prior = make("pixelcnn", two_books((3, 3)), conditioning(given, (3, 3)))
    with pytest.raises(DataError, match=message):
        prior.log_prob(random_codes(prior.codes, 2), wrong)


def test_coarser_codes_are_checked() -> None:
    for kind in ("pixelcnn", "gpt2"):
        prior = make(kind, two_books((3, 3)), conditioning("upper", (3, 3)))
        with pytest.raises(CodeError, match="expected values below 4, got 9"):
            prior.log_prob(random_codes(prior.codes, 2), Condition(upper=(UPPER + 9,)))
    with pytest.raises(CodeError, match=r"expected integers of shape \(batch, 2, 2\)"):
        prior.log_prob(random_codes(prior.codes, 2), Condition(upper=(UPPER[:, :1],)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CodeGrid((4,), (1, 1, 1, 1)), "expected 1, 2 or 3 axes, got 4"),
        (lambda: CodeGrid((4, 4), (2,), ()), "expected a shape for 2 books"),
        (lambda: CodeGrid((0,), (2,)), "codebook_sizes: expected"),
        (lambda: Conditioning(text_tokens=5), "set both, or both to 0"),
        (lambda: PixelCNN(CodeGrid((4,), (2,)), kernel=4), "expected an odd number, got 4; use 5"),
        (lambda: make("pixelsnail", CodeGrid((4,), (2,)), heads=5), "divisor of hidden=12, got 5"),
        (lambda: make("gpt2", CodeGrid((4,), (2,)), heads=3), "hidden=16 to be a multiple"),
        (
            lambda: PixelCNN(CodeGrid((4,), (2,)), conditioning("upper", (2, 2))),
            "expected grids of 1 axes",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(build: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build()
