from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import soft_assignment_entropies


def brute_force(z: Tensor, codebook: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The definition, with the (N, K) tensor, in float64."""
    d = (z.double()[:, None] - codebook.double()).square().sum(-1)
    log_p = (-d / temperature).log_softmax(-1)
    mean = log_p.exp().mean(0)
    return -(log_p.exp() * log_p).sum(-1).mean(), -torch.xlogy(mean, mean).sum()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("temperature", [0.1, 2.0, 50.0])
def test_agrees_with_brute_force(offset: float, temperature: float) -> None:
    z, codebook = offset + normal(400, 4), offset + normal(37, 4, seed=1)
    inputs = [z.clone().requires_grad_(), codebook.clone().requires_grad_()]
    references = [t.double().requires_grad_() for t in (z, codebook)]
    sample, batch = soft_assignment_entropies(*inputs, temperature=temperature)
    expected = brute_force(*references, temperature)
    assert sample.item() == pytest.approx(expected[0].item(), rel=2e-5)
    assert batch.item() == pytest.approx(expected[1].item(), rel=2e-5)
    (sample - 0.8 * batch).backward()
    (expected[0] - 0.8 * expected[1]).backward()
    for ours, reference in zip(inputs, references, strict=True):
        error = (ours.grad.double() - reference.grad).abs().max()
        assert error <= 2e-4 * reference.grad.abs().max()


def test_float64_gradient_by_finite_differences() -> None:
    z, codebook = normal(7, 3).double(), normal(5, 3, seed=1).double()
    mask = torch.tensor([True, False, True, True, True, True, True])
    for distance in ("euclidean", "cosine"):
        assert torch.autograd.gradcheck(
            lambda z, e, distance=distance: soft_assignment_entropies(
                z, e, temperature=1.5, mask=mask, distance=distance
            ),
            (z.requires_grad_(), codebook.requires_grad_()),
        )


def test_cosine_is_euclidean_of_unit_vectors() -> None:
    z, codebook = normal(100, 4), normal(10, 4, seed=1)
    units = F.normalize(z, dim=-1), F.normalize(codebook, dim=-1)
    ours = soft_assignment_entropies(z, codebook, temperature=0.5, distance="cosine")
    assert torch.allclose(torch.stack(ours), torch.stack(brute_force(*units, 0.5)).float())


def test_known_values() -> None:
    codebook = torch.eye(6)
    sample, batch = soft_assignment_entropies(codebook, codebook, temperature=1e-3)
    assert sample.item() == pytest.approx(0.0, abs=1e-6)
    assert batch.item() == pytest.approx(math.log(6), rel=1e-6)
    sample, _ = soft_assignment_entropies(torch.zeros(2, 6), codebook, temperature=1e-3)
    assert sample.item() == pytest.approx(math.log(6), rel=1e-6)


def test_blocks_agree_with_brute_force() -> None:
    # 2^19 scores make a block: 3000 x 1000 takes six.
    z, codebook = normal(3000, 2), normal(1000, 2, seed=1)
    ours = soft_assignment_entropies(z, codebook, temperature=0.1)
    expected = brute_force(z, codebook, 0.1)
    assert torch.allclose(torch.stack(ours), torch.stack(expected).float(), rtol=1e-5)


def test_mask_and_nothing_counted() -> None:
    z, codebook = normal(60, 4), normal(10, 4, seed=1)
    mask = torch.arange(60) % 3 > 0
    dirty = torch.where(mask[:, None], z, torch.nan).requires_grad_()
    masked = soft_assignment_entropies(dirty, codebook, temperature=1.0, mask=mask)
    kept = soft_assignment_entropies(z[mask], codebook, temperature=1.0)
    assert torch.allclose(torch.stack(masked), torch.stack(kept))
    sum(masked).backward()
    assert (dirty.grad[~mask] == 0).all()
    for rows in (0, 60):
        free = z[:rows].clone().requires_grad_()
        nothing = torch.zeros(rows, dtype=torch.bool)
        sample, batch = soft_assignment_entropies(free, codebook, temperature=1.0, mask=nothing)
        (sample + batch).backward()
        assert sample.item() == batch.item() == 0.0
        assert torch.equal(free.grad, torch.zeros_like(free))


def test_errors() -> None:
    z, codebook = normal(6, 4), normal(10, 4)
    with pytest.raises(OptionError, match="temperature"):
        soft_assignment_entropies(z, codebook, temperature=0.0)
    with pytest.raises(OptionError, match="distance"):
        soft_assignment_entropies(z, codebook, temperature=1.0, distance="dot")  # type: ignore
    with pytest.raises(ShapeError, match=r"\(N, D\)"):
        soft_assignment_entropies(z[None], codebook, temperature=1.0)
    with pytest.raises(ShapeError, match="last dimension"):
        soft_assignment_entropies(z[:, :3], codebook, temperature=1.0)


def test_temperature_may_be_a_tensor() -> None:
    z = torch.randn(7, 3, requires_grad=True)
    book = torch.randn(5, 3)
    results = []
    for temperature in (0.7, torch.tensor(0.7)):
        sample, batch = soft_assignment_entropies(z, book, temperature=temperature)
        (gradient,) = torch.autograd.grad(sample - batch, z)
        results.append((sample, batch, gradient))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
