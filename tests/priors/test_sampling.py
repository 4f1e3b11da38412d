"""Samples: the same with and without a cache, of the right distribution, around what is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from priors.builders import (
    condition,
    conditioning,
    every_grid,
    every_pair,
    every_prior,
    make,
    random_codes,
    two_books,
)
from vocabula.errors import CodeError, DataError, OptionError
from vocabula.priors import CodeGrid, Condition, Conditioning, cached_layers
from vocabula.priors.cached_layers import CachedLayers
from vocabula.priors.decoding import Decoding, Recomputing
from vocabula.priors.ring import RingConvolution


@pytest.mark.slow
@every_pair
def test_the_cache_changes_no_code(kind: str, grid: tuple[int, ...], given: str) -> None:
    prior = make(kind, two_books(grid), conditioning(given, grid))
    wanted = condition(given, grid, 3)
    options: dict[str, Any] = {"seed": 5, "temperature": 0.9}
    if given in ("class", "text"):
        options |= {"guidance": 1.7, "top_k": 4, "top_p": 0.95}
    cached = prior.sample((3, *grid), wanted, **options)
    assert torch.equal(cached, prior.sample((3, *grid), wanted, **options, cache=False))
    if len(grid) == 1:  # draws know nothing of the axes
        assert torch.equal(cached, prior.sample((3, *grid), wanted, **options))
        assert not torch.equal(cached, prior.sample((3, *grid), wanted, **(options | {"seed": 6})))


@every_pair
def test_cached_logits_are_those_of_a_full_pass(
    kind: str, grid: tuple[int, ...], given: str
) -> None:
    prior = make(kind, two_books(grid), conditioning(given, grid))
    complete = prior.conditioning.complete(condition(given, grid, 2), 2, prior.device)
    symbols = prior.codes.split(random_codes(prior.codes, 2)).flatten(1)
    ways: list[Decoding] = [
        prior.decoding(2, grid, complete),
        Recomputing(prior, 2, grid, complete),
    ]
    with torch.no_grad():
        for symbol in symbols.unbind(1):
            cached, full = (way.logits() for way in ways)
            # llama's own normalization is in single precision
            torch.testing.assert_close(
                cached, full, rtol=1e-5, atol=1e-5 if kind == "llama" else 1e-10
            )
            for way in ways:
                way.push(symbol)


@pytest.mark.parametrize("grid", [(9,), (7, 5), (3, 4, 5)], ids=str)
@every_prior
def test_caches_hold_on_longer_grids(kind: str, grid: tuple[int, ...]) -> None:
    """Longer than the reach of a convolution, so that rows leave its ring again."""
    options = {"kernel": 3} if kind.startswith("pixel") else {}
    prior = make(kind, CodeGrid((6,), grid), **options)
    cached = prior.sample((2, *grid), seed=3)
    assert torch.equal(cached, prior.sample((2, *grid), seed=3, cache=False))


@every_prior
def test_single_precision_draws_the_same(kind: str) -> None:
    prior = make(kind, CodeGrid((30,), (4, 4))).float()
    cached = prior.sample((8, 4, 4), seed=1)
    assert torch.equal(cached, prior.sample((8, 4, 4), seed=1, cache=False))


@pytest.mark.slow
@every_prior
def test_frequencies_are_the_probabilities(kind: str) -> None:
    prior = make(kind, CodeGrid((5,), (2,), largest_symbol=3))
    count = 20_000
    drawn = prior.sample((count, 2), seed=0)
    found = torch.bincount(drawn[:, 0] * 5 + drawn[:, 1], minlength=25) / count
    every = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    expected = prior.log_prob(every).exp()
    deviation = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() <= 4.5 * deviation).all()


@pytest.mark.slow
@every_prior
def test_guided_frequencies_are_powers_of_the_probabilities(kind: str) -> None:
    """At a single position guidance g is p(c)^g p(none)^(1 - g), normalized."""
    prior = make(kind, CodeGrid((4,), (1,)), Conditioning(classes=2))
    count = 20_000
    labels = torch.ones(count, dtype=torch.long)
    drawn = prior.sample((count, 1), Condition.of_class(labels), guidance=2.5, seed=0)
    every = torch.arange(4)[:, None]
    with_class = prior.log_prob(every, Condition.of_class(labels[:4]))
    expected = (2.5 * with_class - 1.5 * prior.log_prob(every)).softmax(0)
    found = torch.bincount(drawn[:, 0], minlength=4) / count
    assert ((found - expected).abs() <= 4.5 * (expected * (1 - expected) / count).sqrt()).all()


@every_prior
def test_guidance_of_zero_forgets_and_of_one_is_plain(kind: str) -> None:
    prior = make(kind, two_books((2, 2)), Conditioning(classes=3))
    if kind.startswith("pixel"):
        prior.encoder.labels.weight.data *= 10  # else the class hardly matters yet
    wanted = Condition.of_class(torch.tensor([0, 1, 2]))
    forgot = prior.sample((3, 2, 2), wanted, guidance=0.0, seed=2)
    assert torch.equal(forgot, prior.sample((3, 2, 2), seed=2))
    plain = prior.sample((3, 2, 2), wanted, seed=2)
    assert torch.equal(plain, prior.sample((3, 2, 2), wanted, guidance=1.0, seed=2))
    assert not torch.equal(plain, forgot)


@pytest.mark.slow
@every_grid
@every_prior
def test_completion_keeps_what_is_known(kind: str, grid: tuple[int, ...]) -> None:
    prior = make(kind, two_books(grid))
    codes = random_codes(prior.codes, 3)
    top = torch.zeros(grid, dtype=torch.bool)
    top.view(-1)[: top.numel() // 2] = True
    holes = torch.rand(3, *grid) < 0.5
    for mask in (top, holes):
        shown = codes.masked_fill(~mask.expand(3, *grid)[..., None], 10**6)
        drawn = prior.sample((3, *grid), known=(shown, mask), seed=4)
        kept = mask.expand(3, *grid)
        assert torch.equal(drawn[kept], codes[kept])
        assert not torch.equal(drawn[~kept], codes[~kept])
        again = prior.sample((3, *grid), known=(shown, mask), seed=4, cache=False)
        assert torch.equal(drawn, again)
    whole = torch.ones(grid, dtype=torch.bool)
    assert torch.equal(prior.sample((3, *grid), known=(codes, whole)), codes)


@every_prior
def test_a_completion_continues_a_sample(kind: str) -> None:
    """With the first half of a sample known, the same numbers give the second half again."""
    prior = make(kind, two_books((4, 3)))
    whole = prior.sample((2, 4, 3), seed=9)
    top = torch.zeros(4, 3, dtype=torch.bool)
    top[:2] = True
    assert torch.equal(prior.sample((2, 4, 3), known=(whole, top), seed=9), whole)


@pytest.mark.slow
@every_prior
def test_a_batch_may_be_cut_anywhere(kind: str) -> None:
    prior = make(kind, two_books((2, 3)), Conditioning(classes=3))
    labels = torch.tensor([0, 1, 2, 0, 1])
    at_once = prior.sample(
        (5, 2, 3), Condition.of_class(labels), generator=torch.Generator().manual_seed(8)
    )
    generator = torch.Generator().manual_seed(8)
    parts = [
        prior.sample((len(part), 2, 3), Condition.of_class(part), generator=generator)
        for part in labels.split([2, 3])
    ]
    assert torch.equal(torch.cat(parts), at_once)
    seeded = prior.sample((5, 2, 3), Condition.of_class(labels), seed=8)
    assert torch.equal(seeded, at_once)


def test_progress_is_told_and_training_goes_on() -> None:
    prior = make("pixelsnail", two_books((2, 3)), dropout=0.5).train()
    told: list[tuple[int, int]] = []
    drawn = prior.sample((1, 2, 3), seed=0, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]
    assert prior.training and prior.head.training
    assert torch.equal(drawn, prior.eval().sample((1, 2, 3), seed=0))


def test_an_interrupted_sample_leaves_the_prior_as_it_was() -> None:
    prior = make("pixelcnn", two_books((2, 3))).train()

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prior.sample((1, 2, 3), progress=stop)
    assert prior.training


def test_every_position_costs_one_position_of_pixelcnn() -> None:
    prior = make("pixelcnn", CodeGrid((6,), (6, 6)))
    positions = {"above": 0, "here": 0}

    def count(name: str) -> Any:
        def hook(_: Any, __: Any, out: torch.Tensor) -> None:
            positions[name] += out[..., 0].numel()

        return hook

    prior.stacks[0].layers[0].dropout.register_forward_hook(count("above"))
    prior.stacks[1].layers[-1].project.register_forward_hook(count("here"))
    prior.sample((2, 6, 6), seed=0)
    assert positions == {"above": 2 * 36, "here": 2 * 36}


def test_every_position_costs_one_position_of_pixelsnail(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs: list[tuple[int, ...]] = []
    apply = RingConvolution.__call__

    def counted(self: RingConvolution, place: int, x: torch.Tensor) -> torch.Tensor:
        inputs.append(tuple(x.shape))
        return apply(self, place, x)

    monkeypatch.setattr(RingConvolution, "__call__", counted)
    make("pixelsnail", CodeGrid((6,), (6, 6))).sample((2, 6, 6), seed=0)
    assert inputs == [(2, 12)] * 36 * 3  # the first convolution and the two of the residual block


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the tokens of every pass through a language model's layers."""
    shapes: list[tuple[int, ...]] = []
    run = CachedLayers.run

    def counted(self: CachedLayers, tokens: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(tokens.shape))
        return run(self, tokens)

    monkeypatch.setattr(CachedLayers, "run", counted)
    return shapes


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_every_token_costs_one_token(kind: str, passes: list[tuple[int, ...]]) -> None:
    make(kind, two_books((2, 3))).sample((2, 2, 3), seed=0)
    assert passes == [(2, 1)] * 18


def test_known_rows_go_through_a_transformer_at_once(passes: list[tuple[int, ...]]) -> None:
    prior = make("gpt2", CodeGrid((6,), (6, 6)))
    known = (torch.zeros(1, 6, 6, dtype=torch.long), torch.arange(36).view(6, 6) < 18)
    prior.sample((1, 6, 6), known=known, seed=0)
    assert passes == [(1, 19)] + [(1, 1)] * 17


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
@pytest.mark.parametrize(("kind", "layers"), [("gpt2", 1), ("gpt2", 2), ("llama", 2)])
def test_a_compiled_step_draws_the_same(
    kind: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs of both architectures, and the code that the default compiler makes of one."""
    if layers > 1:
        compiled = torch.compile(cached_layers._pass, backend="aot_eager", fullgraph=True)
        monkeypatch.setattr(cached_layers, "_compiler", lambda on_gpu: compiled)
    prior = make(kind, CodeGrid((6,), (2, 3)), Conditioning(classes=2), layers=layers).float()
    labels = Condition.of_class(torch.tensor([0, 1, 1]))
    plain = prior.sample((3, 2, 3), labels, seed=1)
    prior.compiled = True
    assert torch.equal(prior.sample((3, 2, 3), labels, seed=1), plain)
    assert torch.equal(prior.sample((3, 2, 3), labels, seed=1), plain)


MASK = torch.ones(2, 3, dtype=torch.bool)
CODES = torch.zeros(1, 2, 3, 2, dtype=torch.long)
WRONG = {
    "shape": ({"shape": (2, 3)}, OptionError, r"sample.shape: expected \(batch, n, n\)"),
    "empty": ({"shape": (0, 2, 3)}, OptionError, r"all >= 1, got \(0, 2, 3\)"),
    "temperature": ({"temperature": -1.0}, OptionError, "expected a number > 0, got -1.0"),
    "no class": ({"guidance": 2.0}, OptionError, "expected a class or text, and a prior trained"),
    "seeds": (
        {"seed": 1, "generator": torch.Generator()},
        OptionError,
        "expected a seed or a generator, got both",
    ),
    "mask": ({"known": (CODES, MASK.int())}, DataError, "expected a mask of booleans"),
    "mask shape": ({"known": (CODES, MASK[:1])}, DataError, r"shape \(2, 3\) or \(1, 2, 3\)"),
    "known batch": ({"known": (CODES.repeat(2, 1, 1, 1), MASK)}, DataError, "codes of 1 signals"),
    "known value": ({"known": (CODES + 3, MASK)}, CodeError, "expected values below 3 x 23, got 3"),
    "known shape": ({"known": (CODES[..., 0], MASK)}, CodeError, "expected integers of shape"),
}


@pytest.mark.parametrize(("options", "error", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_orders_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    prior = make("pixelcnn", two_books((2, 3)), Conditioning(classes=2))
    with pytest.raises(error, match=message):
        prior.sample(**({"shape": (1, 2, 3)} | options))


def test_guidance_needs_a_prior_that_knows_doing_without() -> None:
    prior = make("pixelcnn", two_books((2, 3)), Conditioning(classes=2, dropout=0.0))
    with pytest.raises(OptionError, match="a prior trained with dropout=0; leave guidance at 1"):
        prior.sample((1, 2, 3), Condition.of_class(torch.tensor([1])), guidance=2.0)
