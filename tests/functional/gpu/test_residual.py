"""Codes against the search of each stage by a float64 brute force."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.functional.gpu import residual
from vocabula.functional.gpu.residual import residual_codes


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_brute_force(z: Tensor, codebooks: Tensor) -> Tensor:
    total, codes = torch.zeros_like(z), []
    for codebook in codebooks:
        left = (z - total).double()
        d = torch.stack([(left - e).square().sum(-1) for e in codebook.double()], -1)
        codes.append((d == d.amin(-1, keepdim=True)).int().argmax(-1))
        total = total + codebook[codes[-1]]
    return torch.stack(codes, -1)


def books(stages: int, K: int, D: int) -> Tensor:
    return normal(stages, K, D, seed=1) * 0.5 ** torch.arange(stages)[:, None, None]


@pytest.mark.parametrize(
    ("stages", "K", "D", "N"), [(4, 100, 8, 70), (3, 65, 33, 20), (1, 1, 1, 1), (2, 1100, 20, 20)]
)
def test_equals_the_search_stage_by_stage(
    stages: int, K: int, D: int, N: int, device: torch.device
) -> None:
    z, codebooks = 3 + normal(N, D), books(stages, K, D)
    found = residual_codes(z.to(device), codebooks.to(device))
    assert found.dtype == torch.int64
    assert torch.equal(found.cpu(), by_brute_force(z, codebooks))


def test_doubtful_rows_are_settled_before_the_next_stage(device: torch.device) -> None:
    # Codewords that differ by less than the products resolve, some of them twice in the book.
    codebooks = books(3, 24, 20)
    codebooks[:, 8:16] = codebooks[:, :8] + 1e-6 * normal(8, 20, seed=2)
    codebooks[:, 16:] = codebooks[:, 8:16]
    z = normal(12, 20)
    found = residual_codes(z.to(device), codebooks.to(device))
    assert torch.equal(found.cpu(), by_brute_force(z, codebooks))


def test_by_hand(device: torch.device) -> None:
    # 5 = 4 + 1 and 6 = 4 + 2, a tie of 1 and 3 against 2 going to the lower index.
    codebooks = torch.tensor([[[0.0], [4.0], [8.0]], [[3.0], [1.0], [-2.0]]])
    z = torch.tensor([[5.0], [6.0], [-2.0]])
    assert residual_codes(z.to(device), codebooks.to(device)).tolist() == [[1, 1], [1, 0], [0, 2]]


def test_broken_vectors_get_code_zero_in_every_stage(device: torch.device) -> None:
    z, codebooks = normal(8, 4), books(3, 10, 4)
    expected = by_brute_force(z, codebooks)
    z[2, 1], z[5, 0] = torch.nan, torch.inf
    expected[[2, 5]] = 0
    assert torch.equal(residual_codes(z.to(device), codebooks.to(device)).cpu(), expected)


def test_large_books_are_searched_one_by_one(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residual, "_MOST_CODEWORDS", 10)
    z, codebooks = normal(20, 4), books(2, 30, 4)
    found = residual_codes(z.to(device), codebooks.to(device))
    assert torch.equal(found.cpu(), by_brute_force(z, codebooks))


def test_no_rows_and_no_stages(device: torch.device) -> None:
    assert residual_codes(normal(0, 4).to(device), books(2, 3, 4).to(device)).shape == (0, 2)
    assert residual_codes(normal(5, 4).to(device), books(0, 3, 4).to(device)).shape == (5, 0)
