"""Product quantization: the parts alone, side by side."""

from __future__ import annotations

import pytest
import torch

from vocabula import registry
from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.quantizers import (
    EMA,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Normal,
    ProductQuantizer,
    VectorQuantizer,
)


def book(dim: int, size: int, **options: object) -> VectorQuantizer:
    settings = {"initialization": Normal(), "revival": None} | options
    return VectorQuantizer(dim, size, **settings)


def mixed() -> ProductQuantizer:
    return ProductQuantizer(
        [
            book(4, 8, codebook_dim=2),
            LookupFreeQuantizer(6, books=2),
            FiniteScalarQuantizer([5, 3]),
            GumbelQuantizer(3, 7),
        ],
        auto_update=False,
    )


def test_widths_books_and_bits_add_up() -> None:
    quantizer = mixed()
    assert quantizer.dim == 15
    assert quantizer.codebook_sizes == (8, 8, 8, 15, 7)
    assert quantizer.code_shape == (5,)


def test_a_product_by_hand() -> None:
    parts = [book(1, 2), book(2, 2)]
    parts[0].codebook = torch.tensor([[0.0], [4.0]])
    parts[1].codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    result = ProductQuantizer(parts).eval()(torch.tensor([[3.0, 1.0, 2.0]]))
    assert result.codes.tolist() == [[1, 1]]
    assert result.values.tolist() == [[4.0, 1.0, 1.0]]
    assert result.losses["commitment"].tolist() == [1.0, 0.5]
    # the mean over all three elements: (1 + 0 + 1) / 3
    assert float(result.loss) == pytest.approx(0.25 * 2 / 3)


@pytest.mark.parametrize("training", [True, False])
def test_values_are_decode_of_codes(training: bool) -> None:
    quantizer = mixed().train(training)
    z = torch.randn(3, 5, 15)
    result = quantizer(z)
    assert result.codes.shape == (3, 5, 5)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    if not training:
        assert torch.equal(result.codes, quantizer.encode(z))
    assert quantizer(torch.randn(0, 15)).codes.shape == (0, 5)


def test_parts_are_as_if_alone() -> None:
    quantizer = mixed().eval()
    z = torch.randn(9, 15)
    result, start = quantizer(z), 0
    for part in quantizer.parts:
        alone = part(z[:, start : start + part.dim])
        assert torch.equal(result.values[:, start : start + part.dim], alone.values)
        start += part.dim


def test_gradient_of_every_part() -> None:
    quantizer = ProductQuantizer([book(2, 8), book(4, 8)], auto_update=False).double()
    z = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    result = quantizer(z)
    error = (z - result.values).detach()
    (found,) = torch.autograd.grad(result.losses["commitment"][0], z, retain_graph=True)
    expected = torch.cat([2 * error[:, :2] / 14, torch.zeros(7, 4).double()], -1)
    torch.testing.assert_close(found, expected)
    (found,) = torch.autograd.grad(result.loss, z, retain_graph=True)
    torch.testing.assert_close(found, 0.25 * 2 * error / 42)
    (found,) = torch.autograd.grad(result.values.sum(), z)
    assert torch.equal(found, torch.ones_like(z))


def test_a_shared_book_learns_once() -> None:
    shared = book(2, 4, learning=EMA(decay=0.9))
    quantizer = ProductQuantizer([shared, shared])
    quantizer(torch.randn(50, 4))
    assert float(shared.book.mass.sum()) == pytest.approx(0.9 * 4 + 0.1 * 100)
    report = quantizer.usage_report()
    assert report is not None
    assert report.vectors.tolist() == [100, 100]  # each place reports the whole book


def test_usage_is_reported_per_book() -> None:
    quantizer = mixed()
    quantizer(torch.randn(20, 15))
    report = quantizer.usage_report()
    assert report is not None
    assert report.vectors.tolist() == [20] * 5
    large = ProductQuantizer([book(2, 4), LookupFreeQuantizer(21, entropy_weight=0)])
    assert large.usage_report() is None


def test_channel_first_with_a_mask() -> None:
    quantizer = ProductQuantizer([book(2, 8), book(2, 8)], channel_dim=1, auto_update=False)
    z = torch.randn(3, 4, 5, 6)
    mask = torch.rand(3, 5, 6) > 0.5
    found = quantizer(z, mask)
    assert found.values.shape == z.shape
    expected = quantizer(z.movedim(1, -1)[mask].T[None])
    torch.testing.assert_close(found.loss, expected.loss)
    with pytest.raises(ShapeError):
        quantizer(torch.randn(3, 5, 5, 6))


@pytest.mark.parametrize("codes", [[0, 0, 0, 0, 7], [0, -1, 0, 0, 0], [0, 0, 0, 15, 0]])
def test_codes_out_of_range_are_refused(codes: list[int]) -> None:
    with pytest.raises(CodeError):
        mixed().decode(torch.tensor([codes]))


def test_no_part_is_refused() -> None:
    with pytest.raises(OptionError, match="parts"):
        ProductQuantizer([])


@pytest.mark.slow
def test_compiles_whole() -> None:
    quantizer = mixed()
    z = torch.randn(3, 5, 15, requires_grad=True)
    result = torch.compile(quantizer, fullgraph=True, backend="eager")(z)
    (result.values.sum() + result.loss).backward()
    assert torch.equal(result.values, quantizer.decode(result.codes))


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = mixed().eval()
    again = registry.build("quantizer", registry.spec(quantizer)).eval()
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 15)
    assert torch.equal(again(z).values, quantizer(z).values)
