"""Finite scalar quantization against the paper's numbers and a float64 reference."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from vocabula import registry
from vocabula.errors import CodeError, OptionError, OptionWarning
from vocabula.quantizers import FiniteScalarQuantizer

pytestmark = [
    pytest.mark.usefixtures("each_way"),
    pytest.mark.filterwarnings("ignore:FiniteScalarQuantizer.levels:vocabula.errors.OptionWarning"),
]


@pytest.mark.parametrize(
    ("levels", "size"),
    [
        ((8, 6, 5), 240),
        ((8, 5, 5, 5), 1000),
        ((7, 5, 5, 5, 5), 4375),
        ((8, 8, 8, 6, 5), 15360),
        ((8, 8, 8, 5, 5, 5), 64000),
    ],
)
def test_codebook_sizes_of_the_papers_table_1(levels: tuple[int, ...], size: int) -> None:
    assert FiniteScalarQuantizer(levels).codebook_sizes == (size,)


def test_example_of_the_reference_code() -> None:
    # levels 3, 5, 4: z = (0.25, 0.6, -7) -> (0, 0.5, -1), code 1 + 3 * 3 + 0 * 15 = 10
    result = FiniteScalarQuantizer([3, 5, 4])(torch.tensor([[0.25, 0.6, -7.0]]))
    assert result.values.tolist() == [[0.0, 0.5, -1.0]]
    assert result.codes.tolist() == [10]


# Thresholds on z by hand: tanh(z) = (2k - 1)/(L - 1) - 1 in the symmetric form; in the published
# one h = (L - 1) 1.001/2 and z = atanh((k - 1/2 - floor(L/2) + o)/h) - atanh(o/h), k = 1 ... L - 1.
SYMMETRIC = {
    2: [0.0],
    3: [-0.549306, 0.549306],
    4: [-0.804719, 0.0, 0.804719],
    5: [-0.972955, -0.255413, 0.255413, 0.972955],
    6: [-1.098612, -0.423649, 0.0, 0.423649, 1.098612],
    7: [-1.198948, -0.549306, -0.168236, 0.168236, 0.549306, 1.198948],
    8: [-1.282475, -0.649641, -0.293893, 0.0, 0.293893, 0.649641, 1.282475],
    9: [-1.354025, -0.733169, -0.394229, -0.125657, 0.125657, 0.394229, 0.733169, 1.354025],
}
PUBLISHED = {
    2: [-3.800701],
    3: [-0.548640, 0.548640],
    4: [-1.149720, -0.346199, 0.457322],
    5: [-0.971245, -0.255146, 0.255146, 0.971245],
    6: [-1.298921, -0.625698, -0.202524, 0.220649, 0.893872],
    7: [-1.196229, -0.548640, -0.168065, 0.168065, 0.548640, 1.196229],
    8: [-1.422951, -0.792490, -0.437278, -0.143695, 0.149887, 0.505099, 1.135561],
    9: [-1.350308, -0.732145, -0.393793, -0.125530, 0.125530, 0.393793, 0.732145, 1.350308],
}


@pytest.mark.parametrize("level", range(2, 10))
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "published"])
def test_thresholds_and_values_are_those_of_the_table(level: int, symmetric: bool) -> None:
    quantizer = FiniteScalarQuantizer([level], symmetric=symmetric)
    thresholds = torch.tensor((SYMMETRIC if symmetric else PUBLISHED)[level], dtype=torch.float64)
    below, above = (quantizer.encode((thresholds + e).float()[:, None]) for e in (-2e-5, 2e-5))
    assert below.tolist() == list(range(level - 1))
    assert above.tolist() == list(range(1, level))
    if symmetric:
        expected = [2 * k / (level - 1) - 1 for k in range(level)]
    else:
        expected = [(k - level // 2) / (level // 2) for k in range(level)]
    values = quantizer.decode(torch.arange(level))
    torch.testing.assert_close(values[:, 0], torch.tensor(expected))


@pytest.mark.parametrize("level", range(2, 10))
def test_clamped_values_are_the_nearest(level: int) -> None:
    quantizer = FiniteScalarQuantizer([level], symmetric=True, hard_clamp=True)
    z = torch.linspace(-1.5, 1.5, 997)[:, None]
    book = torch.linspace(-1, 1, level)
    error = (quantizer(z).values - z).abs()
    torch.testing.assert_close(error, (z - book).abs().amin(1, keepdim=True))


def test_gradients_of_the_symmetric_form_and_of_the_clamp() -> None:
    z = torch.tensor([[-1.5, 0.3]], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(FiniteScalarQuantizer([2, 4], symmetric=True)(z).values.sum(), z)
    torch.testing.assert_close(found, 1 / torch.cosh(z.detach()) ** 2)
    clamped = FiniteScalarQuantizer([2, 4], symmetric=True, hard_clamp=True)
    (found,) = torch.autograd.grad(clamped(z).values.sum(), z)
    assert found.tolist() == [[0.0, 1.0]]


def test_noise_replaces_rounding_and_codes_stay_those_of_evaluation() -> None:
    torch.manual_seed(0)
    z = torch.randn(4000, 2, requires_grad=True) * 2
    whole = FiniteScalarQuantizer([4, 2], symmetric=True, noise_dropout=1.0)
    values, codes, _ = whole(z)
    half = torch.tensor([1 / 3, 1.0])  # half a step of each coordinate
    offset = values.detach() - torch.tanh(z.detach())
    assert bool((offset.abs() <= half + 1e-6).all())
    assert float(values.detach().abs().max()) <= 1
    inside = torch.tanh(z.detach()).abs() + half < 1
    spread = offset[:, 0][inside[:, 0]] / half[0]  # uniform in [-1, 1]: variance 1/3
    assert abs(float(spread.square().mean()) - 1 / 3) < 0.03
    assert torch.equal(codes, whole.eval()(z).codes)
    assert int(codes.min()) >= 0 and int(codes.max()) < 8
    partly = FiniteScalarQuantizer([4, 2], symmetric=True, noise_dropout=0.25)
    rounded = (partly(z).values == partly.decode(codes))[:, 0][inside[:, 0]]
    assert abs(float(rounded.double().mean()) - 0.75) < 0.03


def test_a_rotation_turns_values_back() -> None:
    torch.manual_seed(0)
    quantizer = FiniteScalarQuantizer([3] * 4, orthogonal_rotation=True)
    plain = FiniteScalarQuantizer([3] * 4)
    z = torch.randn(50, 4)
    turn = quantizer.rotation
    torch.testing.assert_close(turn @ turn.T, torch.eye(4))
    torch.testing.assert_close(quantizer(z).values, plain(z @ turn).values @ turn.T)
    assert torch.equal(quantizer(z).codes, plain(z @ turn).codes)


def test_two_levels_of_the_published_form_warn() -> None:
    with pytest.warns(OptionWarning, match=r"z = -3\.8 instead of 0: set symmetric=True"):
        FiniteScalarQuantizer([2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FiniteScalarQuantizer([2, 3], symmetric=True)
        FiniteScalarQuantizer([4, 3])


@pytest.mark.parametrize("level", [2, 3, 4, 5, 8, 1001, 4096])
def test_every_level_is_reached_and_none_beyond(level: int) -> None:
    quantizer = FiniteScalarQuantizer([level]).double()
    z = torch.cat([torch.linspace(-9, 9, 200_001).double(), torch.tensor([-1e6, 1e6]).double()])
    codes = quantizer.encode(z[:, None])
    assert codes.unique().tolist() == list(range(level))
    assert bool((codes[1:-2] >= codes[:-3]).all())  # in order of z


def test_all_codes_survive_the_round_trip() -> None:
    quantizer = FiniteScalarQuantizer([8, 5, 5, 5])
    codes = torch.arange(1000)
    values = quantizer.decode(codes)
    assert values.unique(dim=0).shape == (1000, 4)
    expected = [(8, 5, 5, 5)[i] // 2 for i in range(4)]
    digits = torch.stack([codes % 8, codes // 8 % 5, codes // 40 % 5, codes // 200], -1)
    middle = torch.tensor(expected)
    assert torch.equal(values, (digits - middle) / middle)


def test_gradient_is_that_of_the_bounded_coordinate() -> None:
    quantizer = FiniteScalarQuantizer([8, 5]).double()
    z = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 2, dtype=torch.float64)
    (quantizer(z).values * weight).sum().backward()
    h = [7 * 1.001 / 2, 4 * 1.001 / 2]
    slopes = [
        h[0] / 4 / torch.cosh(z[:, 0] + math.atanh(0.5 / h[0])) ** 2,
        h[1] / 2 / torch.cosh(z[:, 1]) ** 2,
    ]
    torch.testing.assert_close(z.grad, (weight * torch.stack(slopes, -1)).detach())


@pytest.mark.parametrize("training", [True, False])
def test_values_are_decode_of_codes(training: bool) -> None:
    quantizer = FiniteScalarQuantizer([8, 5, 5], dim=6).train(training)
    z = torch.randn(4, 5, 6)
    result = quantizer(z)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert torch.equal(result.codes, quantizer.encode(z))
    assert result.losses == {}
    assert float(result.loss.detach()) == 0


def test_projections_are_trained() -> None:
    quantizer = FiniteScalarQuantizer([5, 5], dim=6)
    quantizer(torch.randn(8, 6)).values.square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in quantizer.parameters())


def test_rows_that_are_not_finite_stay_alone() -> None:
    quantizer = FiniteScalarQuantizer([5, 5]).eval()
    z = torch.randn(4, 2)
    broken = z.clone()
    broken[1] = torch.nan
    keep = [0, 2, 3]
    assert torch.equal(quantizer.encode(broken)[keep], quantizer.encode(z)[keep])
    assert bool(quantizer(broken).values.isfinite().all())


def test_codes_are_exact_in_large_books() -> None:
    quantizer = FiniteScalarQuantizer([2] * 62)
    codes = torch.tensor([2**62 - 1, 2**53 + 1, 0])
    assert torch.equal(quantizer(quantizer.decode(codes) * 20 + 0.1).codes, codes)
    assert quantizer.usage_report() is None


@pytest.mark.parametrize("levels", [[], [1, 5], [2] * 63])
def test_wrong_levels_are_refused(levels: list[int]) -> None:
    with pytest.raises(OptionError, match="levels"):
        FiniteScalarQuantizer(levels)


@pytest.mark.parametrize("code", [-1, 25])
def test_codes_out_of_range_are_refused(code: int) -> None:
    with pytest.raises(CodeError, match=str(code)):
        FiniteScalarQuantizer([5, 5]).decode(torch.tensor([3, code]))


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_compiles_whole(training: bool) -> None:
    quantizer = FiniteScalarQuantizer([8, 5], dim=4).train(training)
    z = torch.randn(3, 5, 4)
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z).values, quantizer(z).values)


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = FiniteScalarQuantizer([8, 5], dim=4)
    again = registry.build("quantizer", registry.spec(quantizer))
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 4)
    assert torch.equal(again(z).values, quantizer(z).values)
