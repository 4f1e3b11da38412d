"""The multi-scale quantizer: its arithmetic, learning, prefixes and refusals."""

from __future__ import annotations

import itertools

import pytest
import torch
import vector_quantize_pytorch
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.quantizers import (
    EMA,
    FiniteScalarQuantizer,
    MultiScaleQuantizer,
    ResidualQuantizer,
    Uniform,
    VectorQuantizer,
)
from vocabula.quantizers.refinement import Refinement, choice
from vocabula.quantizers.scale import ABSENT


def fixed(codewords: Tensor, **options: object) -> VectorQuantizer:
    """A quantizer with these codewords, which do not move."""
    book = VectorQuantizer(
        codewords.shape[1], len(codewords), initialization=Uniform(), revival=None, **options
    )
    book.codebook = codewords
    return book


def grids(count: int, side: int = 8, dim: int = 4, axes: int = 2, seed: int = 0) -> Tensor:
    """Vectors with structure at every scale."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, *[side] * axes, dim)
    for scale in (1, 2, 4, 8):
        cells = torch.randn(count, *[scale] * axes, dim, generator=generator)
        for axis in range(1, axes + 1):
            cells = cells.repeat_interleave(side // scale, axis)
        total += cells
    return total


def test_by_hand() -> None:
    """Two scales of a line of two positions; whole numbers are the codewords."""
    book = fixed(torch.arange(-4.0, 5.0)[:, None])
    quantizer = MultiScaleQuantizer([book], (1, 2), axes=1, convolutions=0).eval()
    z = torch.tensor([[[3.2], [0.8]]])
    # mean 2.0: code 6; left 1.2 and -1.2: codes 5 and 3
    result = quantizer(z)
    assert result.codes.tolist() == [[6, 5, 3]]
    assert result.values.flatten().tolist() == [3.0, 1.0]
    losses = {name: term.item() for name, term in result.losses.items()}
    assert losses == pytest.approx(
        {
            "level1.commitment": 0.0,
            "level1.refinement": 1.44,
            "level2.commitment": 0.04,
            "level2.refinement": 0.04,
        },
        abs=1e-6,
    )
    assert result.loss.item() == pytest.approx(0.25 * 0.04 + 1.44 + 0.04)


def test_the_refinement_by_hand() -> None:
    phi = Refinement(1, axes=1, ratio=0.5)
    x = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1)
    assert torch.equal(phi(x), x)  # at the beginning
    with torch.no_grad():
        phi.conv.weight.fill_(1.0)
        phi.conv.bias.fill_(1.0)
    # half of it and half of 1 + the sum of three neighbours: 4, 8, 7
    assert phi(x).flatten().tolist() == [2.5, 5.0, 5.5]


def test_the_choice_of_a_convolution_is_that_of_var() -> None:
    # four convolutions at 1/12, 13/36, 23/36, 11/12; of ten scales, those at 2/9 and 7/9 are
    # equally near to two, and rounding decides
    assert [choice(i, 10, 4) for i in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert [choice(i, 4, 4) for i in range(4)] == [0, 1, 2, 3]
    assert [choice(i, 10, 10) for i in range(10)] == list(range(10))
    assert [choice(i, 5, 1) for i in range(5)] == [0] * 5
    assert choice(0, 1, 1) == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_codes_are_those_of_another_library(axes: int) -> None:
    """Its levels pool, search and interpolate alike where its convolution is off."""
    scales, dim = (1, 2, 3, 4), 4
    theirs = vector_quantize_pytorch.HierarchicalVQ(
        dim=dim,
        codebook_size=16,
        scales=scales,
        quant_resi=0.0,
        kmeans_init=False,
        channel_first=False,
        accept_image_fmap=axes == 2,
        accept_3d_fmap=axes == 3,
    ).eval()
    codewords = torch.randn(16, dim)
    theirs.vq._codebook.embed.data.copy_(codewords[None])
    ours = MultiScaleQuantizer([fixed(codewords)], scales, axes=axes, convolutions=0).eval()
    z = torch.randn(3, *[4] * axes, dim)
    values, codes, _ = theirs(z)
    result = ours(z)
    for one, other in zip(ours.split(result.codes), codes, strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(result.values, values)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_each_scale_lowers_the_error(axes: int) -> None:
    torch.manual_seed(0)
    side = 8 if axes < 3 else 4
    scales = (1, 2, 3, 4, 8) if axes < 3 else (1, 2, 3, 4)
    book = VectorQuantizer(4, 32, learning=EMA(decay=0.9))
    quantizer = MultiScaleQuantizer([book], scales, axes=axes)
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    for seed in range(20):
        z = grids(16, axes=axes, seed=seed)[(slice(None), *[slice(side)] * axes)]
        loss = quantizer(z).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = quantizer.eval().encode(z)
    ends = quantizer._widths()
    errors = [(z - quantizer.decode(codes[:, :end])).square().mean().item() for end in ends]
    errors.insert(0, z.square().mean().item())
    assert all(after < 0.97 * before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 0.5 * errors[0]


def test_a_prefix_is_the_partial_sum() -> None:
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 16)], (1, 2, 4))
    for seed in range(3):
        quantizer(grids(8, seed=seed)[:, :4, :4])
    z = grids(5, seed=9)[:, :4, :4]
    sums: list[Tensor] = []

    def narrow(scale: object, left: Tensor) -> tuple[Tensor, Tensor]:
        sums.append(z - left if left.shape == z.shape else left)
        codes = scale.encode(left)
        return codes, scale.decode(codes)

    codes, total = quantizer.eval().descend(z, narrow)
    assert torch.equal(quantizer.join(codes), quantizer.encode(z))
    assert torch.equal(quantizer.decode(quantizer.encode(z)), total)
    # what the last scale was given is what the first two left
    torch.testing.assert_close(quantizer.decode(quantizer.encode(z)[:, :5]), sums[-1])
    absent = quantizer.encode(z)
    absent[:, 5:] = ABSENT
    assert torch.equal(quantizer.decode(absent), quantizer.decode(absent[:, :5]))


def test_a_shared_book_is_fitted_to_all_scales() -> None:
    """The one vector of the coarsest scale of each signal would leave 60 codewords unused."""
    torch.manual_seed(0)
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 64)], (1, 2, 4, 8))
    result = quantizer(grids(4))
    finest = quantizer.split(result.codes)[-1]
    assert len(finest.unique()) > 30


def test_a_shared_book_learns_once() -> None:
    """By hand: N = 1 + 2 vectors, and the sum of them, in one update of the moving average."""
    book = VectorQuantizer(
        1, 1, learning=EMA(decay=0.5, eps=1e-9), initialization=Uniform(), revival=None
    )
    book.codebook = torch.zeros(1, 1)
    quantizer = MultiScaleQuantizer([book], (1, 2), axes=1, convolutions=0)
    quantizer(torch.tensor([[[1.0], [5.0]]]))
    # scale 1 sees 3, scale 2 sees 1 and 5: N = (1 + 3) / 2, m = (0 + 9) / 2
    assert book.codebook.item() == pytest.approx(4.5 / 2)


def test_the_gradient_is_passed_straight_through() -> None:
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 16)], (1, 2, 4))
    z = grids(3)[:, :4, :4].requires_grad_()
    direction = torch.randn(3, 4, 4, 4)
    quantizer(z).values.backward(direction)
    assert torch.equal(z.grad, direction)
    assert all(p.grad is not None for p in quantizer.parameters())


def test_dropout_keeps_first_scales() -> None:
    torch.manual_seed(0)
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 16)], (1, 2, 4), dropout=1.0)
    z = grids(200)[:, :4, :4]
    quantizer(z)
    before = quantizer.usage_report().vectors.clone()
    result = quantizer(z)
    kept = torch.stack([(s >= 0).flatten(1).all(1) for s in quantizer.split(result.codes)], 1)
    count = kept.sum(0).tolist()
    assert count[0] == 200 and 100 < count[1] < 170 and 40 < count[2] < 95
    counted = quantizer.usage_report().vectors - before
    assert counted.tolist() == [count[0], 4 * count[1], 16 * count[2]]
    assert (quantizer.eval()(z).codes >= 0).all()


def test_usage_is_counted_at_each_scale() -> None:
    book = fixed(torch.arange(4.0)[:, None])
    quantizer = MultiScaleQuantizer([book], (1, 2), axes=1, convolutions=0)
    quantizer(torch.tensor([[[2.0], [2.0]]]))  # code 2 for the mean, 0 for what is left
    report = quantizer.usage_report()
    assert report.vectors.tolist() == [1, 2]
    assert report.usage.tolist() == [0.25, 0.25]
    assert book.usage_report().vectors.tolist() == [3]


@pytest.mark.parametrize(
    "stage",
    [
        lambda: FiniteScalarQuantizer([5, 5, 5, 5]),
        lambda: ResidualQuantizer([VectorQuantizer(4, 8), VectorQuantizer(4, 8)]),
        lambda: VectorQuantizer(4, 16, codebook_dim=2, distance="cosine"),
    ],
)
def test_any_quantizer_may_be_the_stage(stage: object) -> None:
    quantizer = MultiScaleQuantizer([stage()], (1, 2, 4))
    z = grids(6)[:, :4, :4]
    for _ in range(3):
        quantizer(z).loss.backward()
    result = quantizer.eval()(z)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert result.codes.shape == (6, 21 * quantizer.levels[0].books)
    assert torch.equal(quantizer.join(quantizer.split(result.codes)), result.codes)


def test_masks_cover_whole_signals() -> None:
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 16)], (1, 2))
    z = grids(3)[:, :2, :2]
    mask = torch.zeros(3, 2, 2, dtype=torch.bool)
    mask[0] = True
    quantizer(z, mask)
    mask[1, 0] = True
    with pytest.raises(OptionError, match="expected a mask of whole signals, got a part of one"):
        quantizer(z, mask)
    with pytest.raises(ShapeError, match=r"expected a mask of shape \(3, 2, 2\), got \(3,\)"):
        quantizer(z, mask[:, 0, 0])


@pytest.mark.parametrize("scales", [(), (2, 1), (1, 1, 2), (1, 4, 4)])
def test_scales_must_rise(scales: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"scales: expected one or more rising numbers") as error:
        MultiScaleQuantizer([VectorQuantizer(4, 16)], scales)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [3, 5, 16])
def test_the_last_scale_is_the_grid(side: int) -> None:
    """Also where there are more scales than the grid has sizes."""
    quantizer = MultiScaleQuantizer([VectorQuantizer(4, 16)], (1, 2, 3, 4))
    with pytest.raises(ShapeError, match="on a grid of 4 x 4, the last of scales") as error:
        quantizer(torch.randn(2, side, side, 4))
    assert "\n" not in str(error.value)


def test_other_bad_input() -> None:
    books = [VectorQuantizer(4, 16) for _ in range(2)]
    with pytest.raises(OptionError, match="expected 1 quantizer for all scales or 3"):
        MultiScaleQuantizer(books, (1, 2, 4))
    with pytest.raises(OptionError, match=r"expected stages of one width, got \[4, 8\]"):
        MultiScaleQuantizer([VectorQuantizer(4, 16), VectorQuantizer(8, 16)], (1, 2))
    with pytest.raises(OptionError, match="expected one or more quantizers, got none"):
        MultiScaleQuantizer([], (1, 2))
    with pytest.raises(OptionError, match="scales"):
        MultiScaleQuantizer(books[:1], (0, 2))
    quantizer = MultiScaleQuantizer(books[:1], (1, 2)).eval()
    codes = quantizer.encode(torch.randn(2, 2, 2, 4))
    with pytest.raises(CodeError, match="for whole scales"):
        quantizer.decode(torch.where(torch.arange(5) == 0, ABSENT, codes))
    with pytest.raises(CodeError, match="for whole scales"):
        quantizer.decode(torch.where(torch.arange(5) == 4, ABSENT, codes))
    with pytest.raises(CodeError, match=r"n = 1, 5"):
        quantizer.decode(codes[:, :3])
