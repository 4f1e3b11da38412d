"""Efforts 2 and 3 of compression: prices, the search in a metric, and the descent."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vocabula import codec
from vocabula.codec import Block
from vocabula.errors import OptionError
from vocabula.pipelines import rate_objective
from vocabula.pipelines.priced_search import cheapest
from vocabula.pipelines.rate_objective import Objective
from vocabula.pipelines.rate_prices import CountedPrices, neighbours
from vocabula.pipelines.rate_search import Spending, levels_spending
from vocabula.priors import CodeGrid, Conditioning, PortablePrior
from vocabula.quantizers import ProductQuantizer, RateTerm, ResidualQuantizer, VectorQuantizer
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

RATE = {"name": "rate", "weight": 0.01, "null": True, "contexts": 3}


def book(dim: int, size: int) -> dict[str, object]:
    return {"name": "vector", "dim": dim, "codebook_size": size, "rate": RATE}


@pytest.fixture(scope="module")
def tokenizer() -> SignalTokenizer:
    """Two levels of lapped transforms with product and residual parts, as in photos-rd."""
    torch.manual_seed(0)
    sums = {"name": "residual", "beam": 2, "stages": [book(5, 8), book(5, 4)]}
    coarse = {
        "name": "linear",
        "encoder": {"name": "lapped", "downsample": 2, "dim": 6},
        "quantizer": {"name": "product", "parts": [book(1, 16), sums]},
        "decoder": {"name": "lapped", "downsample": 2, "out_channels": 3},
    }
    fine = {
        "name": "linear",
        "encoder": {"name": "lapped", "downsample": 4, "dim": 8},
        "quantizer": {"name": "product", "parts": [book(3, 8), book(5, 16)]},
        "decoder": {"name": "lapped", "downsample": 4, "added": 3, "layers": 1, "hidden": 8},
    }
    found = build_tokenizer({"level1": coarse, "level2": fine}, 3)
    for seed in range(6):
        found(picture(seed, 64).float() / 255)
    return found.eval()


def picture(seed: int, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, side // 5, side // 5, generator=generator)
    shown = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (shown * 255).round().byte()


def objective_of(tokenizer: SignalTokenizer, x: Tensor, model: codec.EntropyModel) -> Objective:
    return Objective(tokenizer, x, model, 1.0, tokenizer.encode(x))


def test_counted_prices_leave_the_position_out() -> None:
    torch.manual_seed(0)
    codes, prior = torch.randint(0, 5, (40,)), torch.rand(5) + 0.5
    contexts = [torch.randint(0, 3, (40,)), torch.randint(0, 2, (40,))]
    prices = CountedPrices(codes, prior, contexts)
    for strength in (0.0, 0.45):
        got = prices._bits(slice(5, 40), prices._ratios(slice(5, 40)), strength)
        for n in range(5, 40):
            others = torch.arange(40) != n
            shares = torch.bincount(codes[others], minlength=5).double() + prior
            shares /= shares.sum()
            nats = shares.log()
            for context in contexts:
                here = codes[others & (context == context[n])]
                of, seen = torch.bincount(here, minlength=5).double(), len(here)
                ratio = (of + 2 * shares) / (seen + 2) / shares
                nats = nats + strength * seen / (seen + 3) * ratio.log()
            wanted = (nats.logsumexp(0) - nats) / math.log(2)
            torch.testing.assert_close(got[n - 5].double(), wanted, atol=1e-4, rtol=1e-4)


def test_contexts_that_tell_the_code_make_it_cheap() -> None:
    grid = torch.arange(4).repeat(1, 30, 8)  # 0 1 2 3 0 1 2 3 ...: the left code tells
    codes, prior = grid.flatten(), torch.ones(4)
    own = [
        CountedPrices(codes, prior, seen)(slice(None)).gather(1, codes[:, None]).mean()
        for seen in ((), neighbours(grid, None))
    ]
    assert abs(float(own[0]) - 2) < 0.02
    assert float(own[1]) < 0.1


def test_the_search_in_a_metric_is_that_of_every_sum() -> None:
    torch.manual_seed(0)
    rate = RateTerm(0.1)
    stages = [VectorQuantizer(3, 4, rate=rate), VectorQuantizer(3, 3, rate=rate)]
    one = VectorQuantizer(2, 5, rate=rate)
    quantizer = ProductQuantizer([ResidualQuantizer(stages), one]).eval()
    mixing = torch.randn(5, 5)
    metric = mixing @ mixing.T + torch.eye(5)
    z, penalties = torch.randn(30, 5), [torch.rand(30, k) for k in (4, 3, 5)]
    found = cheapest(quantizer, z, metric, penalties)
    every = torch.tensor(list(itertools.product(range(4), range(3), range(5))))
    off = z[:, None] - quantizer.decode(every)
    costs = sum(
        torch.einsum("nki,ij,nkj->nk", off[..., at], metric[at, at], off[..., at])
        for at in (slice(0, 3), slice(3, 5))
    )
    costs = costs + sum(p[:, c] for p, c in zip(penalties, every.T, strict=True))
    assert torch.equal(found, every[costs.argmin(1)])


def test_the_gradient_by_tiles_is_that_of_the_whole(
    tokenizer: SignalTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = picture(3, 150)
    objective = objective_of(tokenizer, x, codec.AdaptiveModel())
    values = objective.values(objective.levels)
    whole = [objective.gradient(values, level) for level in range(2)]
    monkeypatch.setattr("vocabula.tokenizers.tiles.WHOLE_PIXELS", 1000)
    monkeypatch.setattr("vocabula.tokenizers.tiles.TILE_PIXELS", 1000)
    again = objective_of(tokenizer, x, codec.AdaptiveModel())
    assert len(again._tiles) > 1
    for level, wanted in enumerate(whole):
        torch.testing.assert_close(again.gradient(values, level), wanted, atol=1e-4, rtol=1e-4)


def test_a_decoder_that_sees_everything_limits_the_size(
    tokenizer: SignalTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_objective, "LARGEST_WHOLE", 100)
    x = picture(0, 32)
    levels_spending(tokenizer, x, Spending(effort=1))
    with pytest.raises(OptionError, match="at most 100 elements of a signal"):
        levels_spending(tokenizer, x, Spending(effort=2))


@pytest.mark.parametrize("quality", [20, 70])
def test_no_effort_is_worse_than_the_one_below(tokenizer: SignalTokenizer, quality: float) -> None:
    x, model = picture(7, 90), codec.AdaptiveModel()
    costs = []
    for effort in range(4):
        spent = Spending(quality, effort)
        levels = levels_spending(tokenizer, x, spent, model)
        plain = levels_spending(tokenizer, x, Spending(quality))
        price = Objective(tokenizer, x, model, spent.scale, plain).price
        shown = tokenizer.decode_stored(levels, size=x.shape[2:]).double() - x
        block = Objective(tokenizer, x, model, 1, plain).block(levels)
        bits = sum(8 * len(model.encode(block, stage)) for stage in range(len(block.books)))
        costs.append(float((shown / 255).square().sum()) + price * bits)
    assert costs == sorted(costs, reverse=True)
    assert costs[3] < 0.99 * costs[0]


def test_vectors_are_refined_too() -> None:
    torch.manual_seed(0)
    found = build_tokenizer(
        {
            "signal": {"name": "vector", "channels": 4},
            "encoder": {"name": "identity"},
            "decoder": {"name": "identity"},
            "quantizer": {
                "name": "residual",
                "stages": [book(4, 16) | {"rate": RATE | {"contexts": 1}}, book(4, 8)],
            },
        },
        4,
    )
    rows = torch.randn(300, 4).cumsum(1)
    for _ in range(5):
        found(rows)
    found.eval()
    model = codec.AdaptiveModel()
    plain = levels_spending(found, rows, Spending())
    objective = Objective(found, rows, model, 1.0, plain)
    costs = [
        objective.cost(levels_spending(found, rows, Spending(effort=e), model)) for e in range(4)
    ]
    assert costs == sorted(costs, reverse=True) and costs[2] < costs[0]


def prices_of(model: codec.EntropyModel, block: Block) -> float:
    """The sum of what the codes of a block cost by `EntropyModel.prices`."""
    total = 0.0
    for stage in range(len(block.books)):
        for stream in block.streams(stage):
            prices = model.prices(block, stage, stream)
            assert prices is not None
            codes, bits = block.codes[stream], prices(slice(None))
            total += float(bits[range(len(codes)), codes].sum())
            assert bits.shape == (len(codes), block.books[stage][stream - block.streams(stage)[0]])
            assert (bits[3:7] == prices(slice(3, 7))).all()
    return total


def test_prices_are_the_bits_of_the_coder(tokenizer: SignalTokenizer) -> None:
    x = picture(5, 32)
    block = objective_of(tokenizer, x, codec.AdaptiveModel()).block(tokenizer.encode(x))
    torch.manual_seed(0)
    grids = [
        CodeGrid(level.codebook_sizes, grid, level.code_shape)
        for level, grid in zip(tokenizer.levels, tokenizer.grids(32, 32), strict=True)
    ]
    priors = [
        PortablePrior(grid, Conditioning(upper=grids[:at]), hidden=8, layers=1, order="interleaved")
        for at, grid in enumerate(grids)
    ]
    model = codec.PortableModel(priors)
    total = sum(model.bits(block, stage) for stage in range(2))
    assert prices_of(model, block) == pytest.approx(total, rel=1e-5)
    assert codec.AdaptiveModel().prices(block, 0, 0) is None
