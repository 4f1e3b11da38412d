"""Stages and parts that take part: at run time, and by dropout."""

from __future__ import annotations

import pytest
import torch
from vector_quantize_pytorch import ResidualVQ

from vocabula.errors import OptionError
from vocabula.quantizers import (
    EMA,
    ConditionalResidualQuantizer,
    Normal,
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
)


def books(count: int, dim: int = 4, **options: object) -> list[VectorQuantizer]:
    torch.manual_seed(0)
    return [VectorQuantizer(dim, 8, initialization=Normal(), **options) for _ in range(count)]


def data(*batch: int, dim: int = 4) -> torch.Tensor:
    return torch.randn(*batch, dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("used", [1, 2, 3])
def test_a_number_of_stages_is_the_shorter_stack(used: int, training: bool, beam: int) -> None:
    whole = ResidualQuantizer(books(3), beam=beam).train(training)
    short = ResidualQuantizer(books(3)[:used], beam=beam).train(training)
    z, x = data(5, 6).requires_grad_(), data(5, 6).requires_grad_()
    codes = short.encode(z)
    assert torch.equal(whole.encode(z, stages=used)[..., :used], codes)
    assert (whole.encode(z, stages=used)[..., used:] == -1).all()
    assert torch.equal(
        whole.decode(whole.encode(z), stages=used)[0], whole.decode(whole.encode(z)[..., :used])[0]
    )
    ours, theirs = whole(z, stages=used), short(x)
    assert torch.equal(ours.values, theirs.values)
    assert torch.equal(ours.codes[..., :used], theirs.codes)
    assert (ours.codes[..., used:] == -1).all()
    torch.testing.assert_close(ours.loss, theirs.loss)
    assert ours.losses["commitment"][used:].eq(0).all()
    ours.loss.backward()
    theirs.loss.backward()
    torch.testing.assert_close(z.grad, x.grad)
    assert whole.decode(ours.codes).shape == z.shape
    for mine, its in zip(whole.stages, short.stages, strict=False):
        assert torch.equal(mine.codebook, its.codebook)
    for unused, fresh in zip(whole.stages[used:], books(3)[used:], strict=True):
        assert torch.equal(unused.codebook, fresh.codebook)
    assert (whole.encode(z) >= 0).all()  # the next call takes all again


@pytest.mark.parametrize("stages", [0, 4, 1.0, True])
def test_stages_that_do_not_exist(stages: object) -> None:
    quantizer = ResidualQuantizer(books(3))
    z = data(5)
    for call in (
        quantizer,
        quantizer.encode,
        lambda _, stages: quantizer.decode(quantizer.encode(z), stages=stages),
    ):
        with pytest.raises(OptionError, match="stages: expected a whole number from 1 to 3"):
            call(z, stages=stages)


def kept(quantizer: ResidualQuantizer, items: int = 400) -> set[int]:
    torch.manual_seed(0)
    return set((quantizer(data(items)).codes >= 0).sum(-1).tolist())


def test_structured_dropout_keeps_what_theirs_keeps() -> None:
    for least, multiple, expected in (
        (1, 1, {1, 2, 3, 4, 5, 6}),
        (4, 1, {4, 5, 6}),
        (1, 3, {3, 6}),
        (2, 4, {4, 6}),
    ):
        ours = ResidualQuantizer(
            books(6), dropout=1.0, dropout_least=least, dropout_multiple=multiple
        )
        assert kept(ours) == expected
        theirs = ResidualVQ(
            dim=4,
            num_quantizers=6,
            codebook_size=8,
            quantize_dropout=True,
            quantize_dropout_cutoff_index=least - 1,
            quantize_dropout_multiple_of=multiple,
        )
        found = {
            int((theirs(data(1, 5), rand_quantize_dropout_fixed_seed=seed)[1] >= 0).sum(-1).max())
            for seed in range(40)
        }
        assert found == expected


@pytest.mark.parametrize("option", ["dropout_least", "dropout_multiple"])
def test_more_stages_than_there_are(option: str) -> None:
    with pytest.raises(OptionError, match=f"{option}: expected at most the 3 stages, got 4"):
        ResidualQuantizer(books(3), **{option: 4})


def product(dropout: float) -> ProductQuantizer:
    parts = books(3, 2, learning=EMA(decay=0.5), revival=None)
    return ProductQuantizer(parts, dropout=dropout)


def test_parts_left_out_have_no_value_loss_gradient_or_statistic() -> None:
    quantizer = product(0.6)
    z = data(200, dim=6).requires_grad_()
    torch.manual_seed(0)
    result = quantizer(z)
    present = result.codes >= 0
    assert present.any(-1).all()
    assert 0.3 < present.float().mean() < 0.55  # 0.4, and one always
    outside = (~present).repeat_interleave(2, -1)
    assert not result.values[outside].any()
    (result.loss + result.values.sum()).backward()
    assert not z.grad[outside].any()
    for i, (fresh, trained) in enumerate(zip(product(0).parts, quantizer.parts, strict=True)):
        alone = fresh(z.detach()[present[:, i], 2 * i : 2 * i + 2])
        torch.testing.assert_close(result.losses["commitment"][i], alone.losses["commitment"])
        fresh.update()
        torch.testing.assert_close(trained.codebook, fresh.codebook)
        assert trained.usage_report().vectors.item() == present[:, i].sum()


def test_evaluation_leaves_nothing_out_and_decode_takes_absent_parts() -> None:
    quantizer = product(0.5).eval()
    z = data(50, dim=6)
    codes = quantizer(z).codes
    assert torch.equal(codes, product(0).eval()(z).codes)
    codes[:, 1] = -1
    values = quantizer.decode(codes)
    assert not values[:, 2:4].any()
    assert torch.equal(values[:, :2], quantizer.parts[0].decode(codes[:, 0]))
    with pytest.raises(ValueError, match=r"expected codes in \[0, 7\]"):
        product(0).decode(codes)


def test_a_single_part_is_never_left_out() -> None:
    with pytest.raises(OptionError, match="dropout: expected 0 for a single part"):
        ProductQuantizer(books(1), dropout=0.5)
    for wrong in (-0.1, 1.0):
        with pytest.raises(OptionError, match="dropout"):
            product(wrong)


def test_conditional_books_take_a_number_of_stages() -> None:
    torch.manual_seed(0)
    quantizer = ConditionalResidualQuantizer(4, 8, stages=3, initialization=Normal())
    z = data(20)
    whole, some = quantizer.encode(z), quantizer.encode(z, stages=2)
    assert torch.equal(some[:, :2], whole[:, :2])
    assert (some[:, 2] == -1).all()
    result = quantizer.eval()(z, stages=2)
    assert torch.equal(result.codes, some)
    assert torch.equal(result.values, quantizer.decode(whole, stages=2))
    assert result.losses["commitment"][2] == 0
    with pytest.raises(OptionError, match="expected codes in use in every book"):
        quantizer.prune()
