from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import rotation, straight_through


def pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, 6, generator=generator, dtype=dtype)
    return z, z + 0.3 * torch.randn(50, 6, generator=generator, dtype=dtype)


@pytest.mark.parametrize("estimator", [straight_through, rotation])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_forward_is_bit_equal_and_gradient_goes_to_z_only(estimator, dtype) -> None:
    z, values = pair()
    z, values = z.to(dtype).requires_grad_(), (1e3 * values).to(dtype).requires_grad_()
    result = estimator(z, values)
    assert torch.equal(result, values)
    result.sum().backward()
    assert values.grad is None
    assert z.grad.dtype == dtype
    assert torch.isfinite(z.grad).all()


def test_straight_through_passes_the_gradient_unchanged() -> None:
    z, values = pair()
    z.requires_grad_()
    upstream = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    straight_through(z, values).backward(upstream)
    assert torch.equal(z.grad, upstream)


def test_mixed_dtypes_keep_each_its_own() -> None:
    z, values = pair()
    z = z.bfloat16().requires_grad_()
    for estimator in (straight_through, rotation):
        result = estimator(z, values)
        assert result.dtype == torch.float32
        assert torch.autograd.grad(result.sum(), z)[0].dtype == torch.bfloat16


def test_rotation_gradient_is_that_of_the_explicit_formula() -> None:
    z, values = pair(torch.float64)
    upstream = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z.requires_grad_()
    rotation(z, values, max_gain=1e9).backward(upstream)

    free = z.detach().clone().requires_grad_()
    e_unit = values / values.norm(dim=-1, keepdim=True)
    z_unit = z.detach() / z.detach().norm(dim=-1, keepdim=True)
    r = (e_unit + z_unit) / (e_unit + z_unit).norm(dim=-1, keepdim=True)
    gain = values.norm(dim=-1, keepdim=True) / z.detach().norm(dim=-1, keepdim=True)
    turned = free - 2 * r * (r * free).sum(-1, keepdim=True)
    turned = gain * (turned + 2 * e_unit * (z_unit * free).sum(-1, keepdim=True))
    # The formula does turn z into its codeword, so it is the one of the paper.
    assert torch.allclose(turned, values, rtol=1e-12, atol=1e-12)
    turned.backward(upstream)
    assert torch.allclose(z.grad, free.grad, rtol=1e-12, atol=1e-12)


def test_rotation_by_a_right_angle() -> None:
    z = torch.tensor([3.0, 0.0], requires_grad=True)
    # e = (0, 6): turned by +90 degrees and doubled; the transpose turns back, so (0, 1) -> (2, 0).
    (grad,) = torch.autograd.grad(
        rotation(z, torch.tensor([0.0, 6.0])), z, torch.tensor([0.0, 1.0])
    )
    assert torch.allclose(grad, torch.tensor([2.0, 0.0]), atol=1e-6)
    (grad,) = torch.autograd.grad(
        rotation(z, torch.tensor([0.0, 6.0])), z, torch.tensor([1.0, 0.0])
    )
    assert torch.allclose(grad, torch.tensor([0.0, -2.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("z", "values"),
    [
        ([0.0, 0.0], [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0], [-2.0, -4.0]),
    ],
)
def test_rotation_is_straight_through_where_undefined(z, values) -> None:
    point = torch.tensor(z, requires_grad=True)
    result = rotation(point, torch.tensor(values))
    assert torch.equal(result, torch.tensor(values))
    result.backward(torch.tensor([0.5, -3.0]))
    assert torch.equal(point.grad, torch.tensor([0.5, -3.0]))


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-12, 1e-17])
def test_rotation_gain_is_bounded(size: float) -> None:
    z = torch.tensor([[size, 0.0, 0.0]], requires_grad=True)
    upstream = torch.tensor([[0.6, 0.8, 0.0]])
    for bound in (1.0, 4.0, 10.0):
        (grad,) = torch.autograd.grad(
            rotation(z, torch.tensor([[0.0, 5.0, 0.0]]), max_gain=bound), z, upstream
        )
        assert grad.norm().item() == pytest.approx(bound, rel=1e-5)


def test_errors() -> None:
    for estimator in (straight_through, rotation):
        with pytest.raises(ShapeError, match="one codeword a vector"):
            estimator(torch.zeros(3, 2), torch.zeros(2, 2))
        with pytest.raises(ShapeError, match="floating-point"):
            estimator(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(OptionError, match="max_gain"):
        rotation(torch.zeros(3, 2), torch.zeros(3, 2), max_gain=0.0)
