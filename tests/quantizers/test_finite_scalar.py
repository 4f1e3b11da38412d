"""Finite scalar quantization against the paper's numbers and a float64 reference."""

from __future__ import annotations

import math

import pytest
import torch

from vocabula import registry
from vocabula.errors import CodeError, OptionError
from vocabula.quantizers import FiniteScalarQuantizer

pytestmark = pytest.mark.usefixtures("each_way")


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
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z).values, quantizer(z).values)


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = FiniteScalarQuantizer([8, 5], dim=4)
    again = registry.build("quantizer", registry.spec(quantizer))
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 4)
    assert torch.equal(again(z).values, quantizer(z).values)
