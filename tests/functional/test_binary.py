from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from torch import Tensor

from processes import Program
from vocabula.errors import OptionError, ShapeError
from vocabula.functional import binary_entropies


def brute_force(z: Tensor, scale: float, tau: float) -> tuple[Tensor, Tensor]:
    """Float64 softmax over all 2^bits codewords of one book, by the definition."""
    z = z.double()
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=z.shape[-1]))).double()
    log_p = (2 * tau * z @ (scale * signs).t()).log_softmax(-1)
    sample = -(log_p.exp() * log_p).sum(-1).mean()
    mean = log_p.exp().mean(0)
    return sample, -torch.xlogy(mean, mean).sum()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [1, 2, 7, 10])
@pytest.mark.parametrize(("scale", "tau"), [(1.0, 0.3), (0.5, 1.0), (1.0, 100.0)])
def test_agrees_with_brute_force(bits: int, scale: float, tau: float) -> None:
    z = normal(300, 2, bits)
    free, reference = z.clone().requires_grad_(), z.double().requires_grad_()
    sample, batch = binary_entropies(free, scale=scale, inverse_temperature=tau)
    assert sample.shape == batch.shape == (2,)
    weights = torch.tensor([1.0, 0.7])
    (weights * (sample - 0.9 * batch)).sum().backward()
    expected = [brute_force(reference[:, book], scale, tau) for book in range(2)]
    sum(w * (s - 0.9 * b) for w, (s, b) in zip([1.0, 0.7], expected, strict=True)).backward()
    for book, (s, b) in enumerate(expected):
        assert sample[book].item() == pytest.approx(s.item(), rel=1e-6, abs=1e-6)
        assert batch[book].item() == pytest.approx(b.item(), rel=1e-6, abs=1e-6)
    error = (free.grad.double() - reference.grad).abs().max()
    assert error <= 2e-6 * reference.grad.abs().max()


def test_float64_gradient_by_finite_differences() -> None:
    z = 0.3 * normal(6, 2, 5).double()
    mask = torch.tensor([True, True, False, True, True, True])
    assert torch.autograd.gradcheck(
        lambda z: binary_entropies(z, scale=0.7, inverse_temperature=0.9, mask=mask),
        z.requires_grad_(),
    )


def test_known_values() -> None:
    # All corners once, sure of each: no entropy per sample, bits * log 2 over the batch.
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=9)))[:, None]
    sample, batch = binary_entropies(corners, scale=1.0, inverse_temperature=100.0)
    assert sample.item() == pytest.approx(0, abs=1e-12)
    assert batch.item() == pytest.approx(9 * math.log(2), rel=1e-6)
    # At the origin every codeword is as likely.
    sample, batch = binary_entropies(torch.zeros(3, 1, 18), scale=1.0, inverse_temperature=1.0)
    assert sample.item() == pytest.approx(18 * math.log(2), rel=1e-6)
    assert batch.item() == pytest.approx(18 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-30, 10.0, 1e4, 1e37])
def test_gradient_is_finite_for_any_size(size: float) -> None:
    z = (size * normal(20, 1, 6)).requires_grad_()
    sample, batch = binary_entropies(z, scale=1.0, inverse_temperature=100.0)
    (sample - batch).sum().backward()
    assert torch.isfinite(sample).all()
    assert torch.isfinite(batch).all()
    assert torch.isfinite(z.grad).all()


def test_unused_codes_feel_a_gradient() -> None:
    # All vectors in one corner: raising the batch entropy must pull them towards 0.
    z = torch.full((50, 1, 4), 1.0, requires_grad=True)
    _, batch = binary_entropies(z, scale=1.0, inverse_temperature=1.0)
    batch.sum().backward()
    assert (z.grad < 0).all()


def test_mask() -> None:
    z = normal(60, 3, 8)
    mask = torch.arange(60) % 3 > 0
    dirty = torch.where(mask[:, None, None], z, torch.nan).requires_grad_()
    masked = binary_entropies(dirty, scale=1.0, inverse_temperature=1.0, mask=mask)
    kept = binary_entropies(z[mask], scale=1.0, inverse_temperature=1.0)
    assert torch.allclose(torch.stack(masked), torch.stack(kept), rtol=1e-6)
    (masked[0] - masked[1]).sum().backward()
    assert (dirty.grad[~mask] == 0).all()
    assert torch.isfinite(dirty.grad).all()


@pytest.mark.parametrize("rows", [0, 4])
def test_nothing_counted_gives_zeros_with_a_graph(rows: int) -> None:
    z = normal(rows, 2, 5).requires_grad_()
    mask = torch.zeros(rows, dtype=torch.bool)
    sample, batch = binary_entropies(z, scale=1.0, inverse_temperature=1.0, mask=mask)
    assert sample.tolist() == batch.tolist() == [0.0, 0.0]
    (sample + batch).sum().backward()
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_autocast_and_half_precision() -> None:
    z = normal(100, 1, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sample, batch = binary_entropies(z, scale=1.0, inverse_temperature=1.0)
    expected = brute_force(z[:, 0], 1.0, 1.0)
    assert sample.dtype == batch.dtype == torch.float32
    assert sample.item() == pytest.approx(expected[0].item(), rel=1e-6)
    assert batch.item() == pytest.approx(expected[1].item(), rel=1e-6)


MEMORY = """
import torch
from vocabula.benchmark.memory import resident
from vocabula.functional import binary_entropies
torch.manual_seed(0)
z = torch.randn(16384, 1, 18, requires_grad=True)
sample, batch = binary_entropies(z, scale=1.0, inverse_temperature=1.0)
(sample - batch).sum().backward()
assert 12 < batch.item() < 12.4767 and torch.isfinite(z.grad).all() and z.grad.abs().max() > 0
print(resident("VmHWM"))  # the maximum that getrusage gives begins with that of the parent
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak")
def test_18_bits_and_16384_tokens_stay_below_1_5_gigabytes() -> None:
    done = Program(MEMORY).wait()
    assert done.code == 0, done.errors
    assert int(done.output) < 1.5e9


def test_errors() -> None:
    z = torch.zeros(3, 1, 4)
    with pytest.raises(ShapeError, match=r"\(N, books, bits\)"):
        binary_entropies(z[0], scale=1.0, inverse_temperature=1.0)
    with pytest.raises(OptionError, match="several books"):
        binary_entropies(torch.zeros(3, 1, 25), scale=1.0, inverse_temperature=1.0)
    with pytest.raises(OptionError, match="scale"):
        binary_entropies(z, scale=0.0, inverse_temperature=1.0)
    with pytest.raises(OptionError, match="inverse_temperature"):
        binary_entropies(z, scale=1.0, inverse_temperature=-1.0)
    with pytest.raises(ShapeError, match="mask"):
        binary_entropies(z, scale=1.0, inverse_temperature=1.0, mask=torch.ones(3))
