from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.errors import ShapeError
from vocabula.functional import directional


def example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vectors, codewords, noise and an upstream gradient (30, 5), in float64."""
    generator = torch.Generator().manual_seed(0)
    z, error, noise, upstream = torch.randn(4, 30, 5, generator=generator, dtype=torch.float64)
    return z, z + error, 0.3 * noise, upstream


@pytest.mark.parametrize("noisy", [False, True])
def test_gradients_are_finite_differences_with_the_direction_fixed(noisy: bool) -> None:
    z, e, noise, upstream = example()
    away = e - z + (noise if noisy else 0)
    direction = away / away.norm(dim=-1, keepdim=True)

    def objective(z: Tensor, e: Tensor) -> Tensor:
        return ((z + (e - z).norm(dim=-1, keepdim=True) * direction) * upstream).sum()

    x, y = z.clone().requires_grad_(), e.clone().requires_grad_()
    result = directional(x, y, noise if noisy else None)
    torch.testing.assert_close(result, z + (e - z).norm(dim=-1, keepdim=True) * direction)
    result.backward(upstream)
    for ours, moved in ((x.grad, 0), (y.grad, 1)):
        for row in range(3):
            for column in range(5):
                step = torch.zeros_like(z)
                step[row, column] = 1e-6
                ahead, behind = (
                    objective(*((z + s, e) if moved == 0 else (z, e + s))) for s in (step, -step)
                )
                expected = (ahead - behind) / 2e-6
                assert ours[row, column].item() == pytest.approx(expected.item(), abs=1e-7)


def test_by_hand() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    e = torch.tensor([[3.0, 4.0], [1.0, 1.0]], requires_grad=True)
    upstream = torch.tensor([[5.0, 10.0], [7.0, 8.0]])
    # d = (0.6, 0.8), d.g = 11; where e = z there is no direction.
    result = directional(z, e)
    assert torch.equal(result, e)
    result.backward(upstream)
    torch.testing.assert_close(e.grad, torch.tensor([[6.6, 8.8], [0.0, 0.0]]))
    torch.testing.assert_close(z.grad, torch.tensor([[-1.6, 1.2], [7.0, 8.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_without_noise_values_are_codewords_bit_for_bit(dtype: torch.dtype) -> None:
    z, e, noise, _ = (t.to(dtype) for t in example())
    z.requires_grad_()
    e = (1e3 * e).requires_grad_()
    assert torch.equal(directional(z, e), e)
    directional(z, e, noise).sum().backward()
    assert z.grad.dtype == e.grad.dtype == dtype
    assert z.grad.isfinite().all()
    assert e.grad.isfinite().all()


def test_beside_vector_quantize_pytorch() -> None:
    from vector_quantize_pytorch.vector_quantize_pytorch import directional_reparam

    z, e, _, upstream = example()
    found = []
    for call in (directional, directional_reparam):
        x, y = z.clone().requires_grad_(), e.clone().requires_grad_()
        torch.manual_seed(3)
        noise = 0.1 * torch.randn_like(z)
        torch.manual_seed(3)
        result = call(x, y, noise if call is directional else 0.01)
        result.backward(upstream)
        found.append((result, x.grad, y.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_second_derivatives() -> None:
    z, e, noise, _ = (t[:3] for t in example())
    direction = e - z + noise
    direction = direction / direction.norm(dim=-1, keepdim=True)
    x, y = z.clone().requires_grad_(), e.clone().requires_grad_()
    a, b = (
        torch.autograd.grad(t.square().sum(), x, create_graph=True)[0]
        for t in (directional(x, y, noise), x + (y - x).norm(dim=-1, keepdim=True) * direction)
    )
    for ours, theirs in zip(*(torch.autograd.grad(t[0, 0], (x, y)) for t in (a, b)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="one codeword a vector"):
        directional(torch.zeros(3, 2), torch.zeros(2, 2))
    with pytest.raises(ShapeError, match="floating-point"):
        directional(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ShapeError, match="as z's"):
        directional(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3))
