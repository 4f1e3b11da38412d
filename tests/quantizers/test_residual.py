"""Residual quantization: sums, gradients of every stage, sharing, dropout and beam search."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vocabula import registry
from vocabula.errors import CodeError, OptionError
from vocabula.quantizers import (
    EMA,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Normal,
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.types import Quantized


def book(dim: int, size: int, **options: object) -> VectorQuantizer:
    settings = {"initialization": Normal(), "revival": None} | options
    return VectorQuantizer(dim, size, **settings)


def fixed(rows: Sequence[Sequence[float]]) -> VectorQuantizer:
    vectors = torch.tensor(rows)
    quantizer = book(vectors.shape[1], len(vectors))
    quantizer.codebook = vectors
    return quantizer


def mixed() -> list[VectorQuantizer | GumbelQuantizer | FiniteScalarQuantizer]:
    return [
        book(8, 16, codebook_dim=3),
        GumbelQuantizer(8, 12),
        FiniteScalarQuantizer([5, 5, 5], dim=8),
        LookupFreeQuantizer(8, books=2),
    ]


def squared_error(z: Tensor, values: Tensor) -> Tensor:
    return (z.double() - values.detach().double()).square().sum(-1)


def test_a_sum_by_hand() -> None:
    quantizer = ResidualQuantizer([fixed([[0.0], [8.0]]), fixed([[-1.0], [2.0]])]).eval()
    result = quantizer(torch.tensor([[9.0], [1.0]]))
    assert result.codes.tolist() == [[1, 1], [0, 1]]
    assert result.values.tolist() == [[10.0], [2.0]]
    # stage 1: (9 - 8)^2, (1 - 0)^2; stage 2: (1 - 2)^2, (1 - 2)^2
    assert result.losses["commitment"].tolist() == [1.0, 1.0]
    assert float(result.loss) == 0.25 * 2


def test_each_stage_has_its_own_commitment_gradient() -> None:
    quantizer = ResidualQuantizer([book(4, 8) for _ in range(3)], auto_update=False).double()
    z = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    result = quantizer(z)
    left = z.detach()
    total = torch.zeros_like(left)
    for stage, part in enumerate(quantizer.stages):
        words = part.codebook[result.codes[:, stage]]
        error = left - words
        (found,) = torch.autograd.grad(result.losses["commitment"][stage], z, retain_graph=True)
        torch.testing.assert_close(result.losses["commitment"][stage], error.square().mean())
        torch.testing.assert_close(found, 2 * error / 40)
        assert float(found.abs().max()) > 0
        total = total + 2 * 0.25 * error / 40
        left = error
    (found,) = torch.autograd.grad(result.loss, z, retain_graph=True)
    torch.testing.assert_close(found, total)


@pytest.mark.parametrize("options", [{}, {"beam": 3}, {"dropout": 1.0}])
def test_the_sum_passes_the_gradient_once(options: dict[str, object]) -> None:
    quantizer = ResidualQuantizer(mixed(), **options)
    z = torch.randn(6, 8, requires_grad=True)
    weight = torch.randn(6, 8)
    (found,) = torch.autograd.grad((quantizer(z).values * weight).sum(), z)
    assert torch.equal(found, weight)


def test_parameters_of_the_stages_learn_from_the_sum() -> None:
    stage = book(4, 8, codebook_dim=2)
    quantizer = ResidualQuantizer([book(4, 8), stage], auto_update=False).double()
    weight = torch.randn(6, 4, dtype=torch.float64)
    result = quantizer(torch.randn(6, 4, dtype=torch.float64))
    (result.values * weight).sum().backward()
    words = stage.codebook[result.codes[:, 1]]
    assert isinstance(stage.project_out, nn.Linear)
    torch.testing.assert_close(stage.project_out.weight.grad, weight.T @ words)


def test_gumbel_codebooks_learn_from_the_sum() -> None:
    quantizer = ResidualQuantizer([GumbelQuantizer(4, 6), GumbelQuantizer(4, 6)])
    quantizer(torch.randn(9, 4)).values.square().sum().backward()
    for stage in quantizer.stages:
        assert float(stage.codebook.grad.abs().sum()) > 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"beam": 3}, {"dropout": 0.7}])
def test_values_are_decode_of_codes(options: dict[str, object], training: bool) -> None:
    quantizer = ResidualQuantizer(mixed(), auto_update=False, **options)
    quantizer.train(training)
    z = torch.randn(3, 5, 8)
    result = quantizer(z)
    assert result.codes.shape == (3, 5, 5)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert quantizer(torch.randn(0, 8)).values.shape == (0, 8)
    assert quantizer(torch.randn(2, 0, 8)).codes.shape == (2, 0, 5)
    assert quantizer(torch.randn(8)).codes.shape == (5,)
    if not training:
        assert torch.equal(result.codes, quantizer.encode(z))


def test_losses_are_stated_per_book() -> None:
    losses = ResidualQuantizer(mixed())(torch.randn(3, 8)).losses
    assert set(losses) == {"commitment", "kl", "entropy_sample", "entropy_batch"}
    assert all(term.shape == (5,) for term in losses.values())
    assert losses["kl"].count_nonzero() == 1
    assert losses["commitment"][2] == 0  # finite scalar quantization has none


# ------------------------------------------------------------------ learning


def test_a_shared_book_learns_once() -> None:
    shared = book(2, 4, learning=EMA(decay=0.9))
    quantizer = ResidualQuantizer([shared, shared, shared])
    quantizer(torch.randn(50, 2))
    # masses start at 1: 0.9 * 4 + 0.1 * (3 stages * 50 vectors)
    assert float(shared.book.mass.sum()) == pytest.approx(0.9 * 4 + 0.1 * 150)
    assert len(list(quantizer.quantizers)) == 1
    assert sum(p.numel() for p in quantizer.state_dict().values()) == sum(
        p.numel() for p in shared.state_dict().values()
    )


def test_repeat_shares_the_book_and_survives_saving() -> None:
    quantizer = ResidualQuantizer([book(4, 8)], repeat=3).eval()
    assert len({id(stage) for stage in quantizer.stages}) == 1
    again = registry.build("quantizer", registry.spec(quantizer)).eval()
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 4)
    assert again(z).codes.shape == (9, 3)
    assert torch.equal(again(z).values, quantizer(z).values)


def test_stages_learn_from_what_is_left() -> None:
    first, second = fixed([[0.0], [8.0]]), fixed([[-1.0], [2.0]])
    first.book.rule = second.book.rule = EMA(decay=0.5)
    ResidualQuantizer([first, second])(torch.tensor([[9.0], [9.0]]))
    # e = (0.5 * 1 * e + 0.5 * sum) / (0.5 * 1 + 0.5 * 2)
    assert first.codebook[1].item() == pytest.approx((0.5 * 8 + 0.5 * 18) / 1.5, abs=1e-3)
    assert second.codebook[1].item() == pytest.approx((0.5 * 2 + 0.5 * 2) / 1.5, abs=1e-3)


@pytest.mark.parametrize("build", [book, GumbelQuantizer])
def test_every_vector_is_counted_once(build: type) -> None:
    quantizer = ResidualQuantizer([build(4, 8), build(4, 8, codebook_dim=2)])
    quantizer(torch.randn(20, 4))
    assert quantizer.usage_report().vectors.tolist() == [20, 20]
    quantizer.eval()(torch.randn(20, 4))
    assert quantizer.usage_report().vectors.tolist() == [20, 20]


def test_update_waits_and_freezing_stops_it() -> None:
    quantizer = ResidualQuantizer([book(4, 8), book(4, 8)], auto_update=False)
    before = [stage.codebook for stage in quantizer.stages]
    before = [vectors.clone() for vectors in before]
    z = torch.randn(20, 4)
    quantizer(z)
    for stage, vectors in zip(quantizer.stages, before, strict=True):
        assert torch.equal(stage.codebook, vectors)
    quantizer.update()
    for stage, vectors in zip(quantizer.stages, before, strict=True):
        assert not torch.equal(stage.codebook, vectors)
    before = [stage.codebook.clone() for stage in quantizer.stages]
    quantizer.freeze()
    quantizer(z)
    quantizer.update()
    for stage, vectors in zip(quantizer.stages, before, strict=True):
        assert torch.equal(stage.codebook, vectors)


@pytest.mark.parametrize("beam", [1, 4])
def test_codebooks_start_from_the_first_batch(beam: int) -> None:
    stages = [VectorQuantizer(4, 16) for _ in range(3)]
    quantizer = ResidualQuantizer(stages, beam=beam)
    z = 5 + torch.randn(400, 4)
    quantizer(z)
    quantizer.eval()
    errors = squared_error(z, quantizer(z).values).mean(), squared_error(z, z.mean(0)).mean()
    assert errors[0] < 0.2 * errors[1]


# ------------------------------------------------------------------ dropout


def test_dropout_keeps_the_first_stages() -> None:
    stages = [book(4, 8) for _ in range(4)]
    quantizer = ResidualQuantizer(stages, dropout=1.0, auto_update=False)
    codes = quantizer(torch.randn(4000, 4)).codes
    depth = (codes >= 0).sum(-1)
    assert bool(((codes >= 0) == (torch.arange(4) < depth[:, None])).all())
    shares = depth.bincount(minlength=5) / 4000
    # uniform on 1 to 4, standard error 0.007
    torch.testing.assert_close(shares[1:], torch.full((4,), 0.25), atol=0.03, rtol=0)
    counted = [int(stage.usage_tracker.counts.sum()) for stage in stages]
    assert counted == (codes >= 0).sum(0).tolist()


def test_dropout_acts_on_whole_items_as_often_as_asked() -> None:
    quantizer = ResidualQuantizer([book(4, 8) for _ in range(3)], dropout=0.5, channel_dim=1)
    codes = quantizer(torch.randn(3000, 4, 2, 3)).codes
    present = (codes >= 0).flatten(1, 2)
    assert torch.equal(present, present[:, :1].expand_as(present))
    whole = present[:, 0, 2].float().mean()
    assert float(whole) == pytest.approx(0.5 + 0.5 / 3, abs=0.04)


def test_dropped_stages_count_in_no_loss() -> None:
    quantizer = ResidualQuantizer([book(4, 8), book(4, 8)], dropout=1.0, auto_update=False)
    z = torch.randn(200, 4)
    result = quantizer(z)
    kept = result.codes[:, 1] >= 0
    first = quantizer.stages[0].codebook[result.codes[:, 0]]
    second = quantizer.stages[1].codebook[result.codes[kept, 1]]
    torch.testing.assert_close(result.losses["commitment"][0], (z - first).square().mean())
    error = (z - first)[kept] - second
    torch.testing.assert_close(result.losses["commitment"][1], error.square().mean())


def test_trailing_absent_codes_decode_the_first_stages() -> None:
    quantizer = ResidualQuantizer(mixed()).eval()
    codes = quantizer.encode(torch.randn(6, 8))
    first = ResidualQuantizer(quantizer.stages[:2]).eval()
    padded = codes.clone()
    padded[:, 2:] = -1
    assert torch.equal(quantizer.decode(padded), first.decode(codes[:, :2]))
    assert not quantizer.decode(torch.full((2, 5), -1)).any()


@pytest.mark.parametrize(
    "codes", [[-1, 0, 0, 0, 0], [0, 0, -1, 0, 0], [0, 0, 0, -1, 0], [-2] * 5, [16, 0, 0, 0, 0]]
)
def test_other_codes_out_of_range_are_refused(codes: list[int]) -> None:
    with pytest.raises(CodeError):
        ResidualQuantizer(mixed()).decode(torch.tensor([[0] * 5, codes]))


# ------------------------------------------------------------------ beam search


def test_beam_search_by_hand() -> None:
    stages = [fixed([[0.0], [1.0]]), fixed([[0.0], [0.6]])]
    z = torch.tensor([[0.6]])
    assert ResidualQuantizer(stages).encode(z).tolist() == [[1, 0]]  # 1 is nearer to 0.6 than 0
    assert ResidualQuantizer(stages, beam=2).encode(z).tolist() == [[0, 1]]  # 0 + 0.6 is exact


def test_a_beam_as_wide_as_the_books_finds_the_best_sum() -> None:
    stages = [book(3, 5), book(3, 5)]
    z = torch.randn(200, 3)
    found = ResidualQuantizer(stages, beam=5).eval()(z)
    sums = torch.stack(
        [a + b for a, b in itertools.product(stages[0].codebook, stages[1].codebook)]
    )
    best = squared_error(z[:, None], sums).argmin(-1)
    assert torch.equal(found.codes[:, 0] * 5 + found.codes[:, 1], best)


@pytest.mark.parametrize("beam", [2, 3, 8])
def test_beam_search_is_never_worse_than_greedy(beam: int) -> None:
    stages = [book(6, 12, codebook_dim=width) for width in (6, 4, 6, 6)]
    z = torch.randn(2000, 6)
    greedy = ResidualQuantizer(stages).eval()
    wide = ResidualQuantizer(stages, beam=beam).eval()
    before = squared_error(z, greedy.decode(greedy.encode(z)))
    after = squared_error(z, wide.decode(wide.encode(z)))
    assert bool((after <= before).all())
    assert float(after.mean()) < 0.95 * float(before.mean())


def test_training_uses_the_beam_too() -> None:
    stages = [book(4, 8) for _ in range(3)]
    quantizer = ResidualQuantizer(stages, beam=4, auto_update=False)
    z = torch.randn(100, 4)
    assert torch.equal(quantizer(z).codes, quantizer.encode(z))
    assert not torch.equal(quantizer.encode(z), ResidualQuantizer(stages).encode(z))


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = ResidualQuantizer([book(4, 8) for _ in range(3)], beam=3)
    z = torch.randn(50, 4)
    whole = quantizer.encode(z)
    monkeypatch.setattr("vocabula.quantizers.beam.BLOCK", 7 * 9 * 4)
    assert torch.equal(quantizer.encode(z), whole)


# ------------------------------------------------------------------ the rest


def test_composites_nest() -> None:
    inner = ResidualQuantizer([book(4, 8), book(4, 8)], dropout=0.5)
    product = ProductQuantizer([inner, LookupFreeQuantizer(4, books=2)])
    quantizer = ResidualQuantizer([product, book(8, 16)], dropout=0.5, beam=2, auto_update=False)
    z = torch.randn(30, 8)
    result = quantizer(z)
    assert result.codes.shape == (30, 5)
    assert torch.equal(result.values, quantizer.decode(result.codes))


def test_masked_and_broken_rows_do_not_count() -> None:
    quantizer = ResidualQuantizer([book(4, 8) for _ in range(3)], auto_update=False)
    z = torch.randn(6, 4)
    z[0] = torch.nan
    mask = torch.tensor([True, True, False, True, True, True])
    expected, found = quantizer(z[[1, 3, 4, 5]]), quantizer(z, mask)
    torch.testing.assert_close(found.losses["commitment"], expected.losses["commitment"])
    assert float(quantizer(z, torch.zeros(6, dtype=torch.bool)).loss) == 0


@pytest.mark.parametrize("stages", [[], [("a", 4), ("b", 5)]])
def test_wrong_stages_are_refused(stages: list[tuple[str, int]]) -> None:
    with pytest.raises(OptionError, match="stages"):
        ResidualQuantizer([book(dim, 8) for _, dim in stages])


@pytest.mark.slow
def test_compiles_whole_and_is_fitted_in_the_graph() -> None:
    # Ordinary steps, evaluation and export, of each option alone, are in the conformance tests.
    stages = [VectorQuantizer(4, 8), book(4, 8, codebook_dim=2)]
    quantizer = ResidualQuantizer(stages, auto_update=False, dropout=0.5, beam=2)
    z = torch.randn(3, 5, 4, requires_grad=True)
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    result = compiled(z)
    (result.values.sum() + result.loss).backward()
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert not any(stage.frozen for stage in stages)


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = ResidualQuantizer(mixed(), beam=2).eval()
    again = registry.build("quantizer", registry.spec(quantizer)).eval()
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 8)
    assert torch.equal(again(z).values, quantizer(z).values)


@pytest.mark.parametrize("reentrant", [True, False])
def test_beam_search_repeats_its_codes_under_activation_checkpointing(reentrant: bool) -> None:
    torch.manual_seed(0)
    stages = [VectorQuantizer(8, 16, revival=None) for _ in range(3)]
    plain = ResidualQuantizer(stages, beam=4, auto_update=False)
    plain(torch.randn(64, 8))
    plain.update()
    copied = copy.deepcopy(plain)
    data, weight = torch.randn(50, 8), torch.randn(50, 8)

    def gradient(run: Callable[[Tensor], Quantized]) -> Tensor:
        z = data.clone().requires_grad_()
        result = run(z)
        ((result.values * weight).sum() + result.loss).backward()
        assert z.grad is not None
        return z.grad

    def checkpointed(z: Tensor) -> Quantized:
        def parts(x: Tensor) -> tuple[Tensor, Tensor]:
            result = copied(x)
            return result.values, result.loss

        values, loss = checkpoint(parts, z, use_reentrant=reentrant)
        return Quantized(values, torch.empty(0), loss)

    torch.testing.assert_close(gradient(checkpointed), gradient(plain))
