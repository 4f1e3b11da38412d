"""Codes against a float64 brute force: every squared distance, by its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vocabula.functional.gpu import search
from vocabula.functional.gpu.search import nearest, nearest_books
from vocabula.functional.gpu.tables import center, prepare


def distances(z: Tensor, codebook: Tensor) -> Tensor:
    return torch.stack([(z.double() - e).square().sum(-1) for e in codebook.double()], -1)


def lowest(d: Tensor) -> Tensor:
    """Index of the exact minimum, the lowest of equals."""
    return (d == d.amin(-1, keepdim=True)).int().argmax(-1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(z: Tensor, codebook: Tensor, device: torch.device, **options: int) -> None:
    codes = nearest(z.to(device), codebook.to(device), False, **options)
    assert codes.dtype == torch.int64
    assert torch.equal(codes.cpu(), lowest(distances(z, codebook)))


@pytest.mark.parametrize(
    ("D", "K"),
    [
        *((1, 1), (1, 513), (4, 100), (8, 2), (8, 513)),
        *((16, 1), (16, 100), (33, 513), (64, 2), (64, 100)),
    ],
)
def test_random(D: int, K: int, device: torch.device) -> None:
    # An odd number of rows in half of the cases, an offset in two.
    z, codebook = normal(40 - K % 2, D), normal(K, D, seed=1)
    offset = 1000.0 if (D + K) % 3 == 0 else 0.0
    check(z + offset, codebook + offset, device)


@pytest.mark.parametrize("D", [3, 40, 200, 300])
def test_inputs_with_a_margin(D: int, device: torch.device) -> None:
    # Codewords at least 4 apart, vectors within 1 of theirs.
    codebook = 4.0 * torch.eye(D)[: min(D, 40)] - 1000
    codes = torch.randint(codebook.shape[0], (70,), generator=torch.Generator().manual_seed(0))
    z = codebook[codes] + F.normalize(normal(70, D), dim=-1)
    found = nearest(z.to(device), codebook.to(device), False)
    assert torch.equal(found.cpu(), codes)


# 33 rows are two blocks of the decision, 65 two tiles of the scan.
DIFFICULT = {
    "near duplicates": (normal(33, 20), normal(3, 20, seed=1)[:, None] + 1e-6 * normal(9, 20)),
    "closer than TF32 tells": (
        normal(65, 20),
        normal(3, 20, seed=1)[:, None] + 4e-4 * normal(9, 20),
    ),
    "codewords all equal": (normal(5, 4), torch.ones(130, 4)),
    "grid with ties": (
        torch.randint(-3, 4, (65, 3), generator=torch.Generator().manual_seed(0)).float() / 2,
        torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 3),
    ),
    "overflow of float32 squares": (1e25 * normal(8, 4), 1e25 * normal(16, 4, seed=1)),
    "some scores overflow": (2e19 * normal(8, 20), 4e18 * normal(70, 20, seed=1)),
    "half the norms overflow": (2e19 * normal(8, 4), 2e19 * normal(16, 4, seed=1)),
    "subnormal": (1e-40 * normal(30, 4), 1e-40 * normal(16, 4, seed=1)),
    "products underflow": (1e-22 * normal(17, 20), 1e-22 * normal(64, 20, seed=1)),
    "one exploded codeword": (
        normal(16, 20),
        torch.cat([torch.full((1, 20), 1e6), normal(63, 20, seed=1)]),
    ),
    "data far from the book": (1e4 + normal(33, 20), 1e-3 * normal(64, 20, seed=1)),
    "wide, streamed": (normal(30, 300), normal(40, 300, seed=1)),
}


@pytest.mark.parametrize("name", DIFFICULT)
def test_difficult(name: str, device: torch.device) -> None:
    z, codebook = DIFFICULT[name]
    check(z, codebook.flatten(0, -2), device)


def test_duplicates_give_the_lowest_index(device: torch.device) -> None:
    codebook = normal(90, 32, seed=1)
    found = nearest(normal(10, 32).to(device), codebook.repeat(3, 1).to(device), False)
    assert torch.equal(found.cpu(), lowest(distances(normal(10, 32), codebook)))


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int, device: torch.device) -> None:
    check(normal(rows, 8), normal(30, 8, seed=1), device)


def test_several_tiles_to_a_group(device: torch.device) -> None:
    # 64 groups of 32 codewords; the last three codewords repeat the first.
    codebook = normal(2000, 2, seed=1)
    codebook[-3:] = codebook[:3]
    check(torch.cat([normal(29, 2), codebook[:3]]), codebook, device)


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_segments_of_the_codewords(segments: int, device: torch.device) -> None:
    codebook = normal(130, 8, seed=1).repeat(3, 1)
    check(normal(20, 8), codebook, device, segments=segments)


def test_blocks_of_rows(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_WORKSPACE", 1)
    check(normal(300, 8), normal(50, 8, seed=1), device)


def test_broken_vectors_get_code_zero_and_harm_no_other(device: torch.device) -> None:
    z, codebook = normal(40, 20), normal(32, 20, seed=1)
    expected = lowest(distances(z, codebook))
    z[3, 2], z[7, 0], z[9, 1] = torch.nan, torch.inf, -torch.inf
    expected[[3, 7, 9]] = 0
    found = nearest(z.to(device), codebook.to(device), False)
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("D", [3, 24])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_cosine(D: int, offset: float, device: torch.device) -> None:
    z, codebook = offset + normal(60, D), offset + normal(100, D, seed=1)
    z *= 10.0 ** torch.arange(-3, 3).repeat(10)[:, None]
    found = nearest(z.to(device), codebook.to(device), True).cpu()
    d = distances(F.normalize(z.double(), dim=-1), F.normalize(codebook.double(), dim=-1))
    # Two ways of normalising differ by a few float64 roundings; within those any winner is right.
    assert torch.all(d.gather(-1, found[:, None])[:, 0] <= d.amin(-1) + 1e-15)


def test_cosine_of_zero_vectors(device: torch.device) -> None:
    codebook = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, -3.0]])
    # (1, 1): cosines -0.7, 0, -0.7. Zero: all cosines 0. (-2, 0): 1, 0, 0.
    z = torch.tensor([[1.0, 1.0], [0.0, 0.0], [-2.0, 0.0]])
    assert nearest(z.to(device), codebook.to(device), True).tolist() == [1, 0, 0]


def test_books_side_by_side(device: torch.device) -> None:
    z, codebooks = normal(30, 3, 20), normal(3, 70, 20, seed=1)
    found = nearest_books(z.to(device), codebooks.to(device), False).cpu()
    expected = [lowest(distances(z[:, book], codebooks[book])) for book in range(3)]
    assert torch.equal(found, torch.stack(expected, -1))


def test_parts_of_a_vector_are_read_in_place(device: torch.device) -> None:
    z, codebooks = normal(20, 12).to(device), normal(3, 20, 4, seed=1).to(device)
    found = nearest_books(z.unflatten(1, (3, 4))[::2], codebooks, False)
    expected = nearest_books(z[::2].unflatten(1, (3, 4)).contiguous(), codebooks, False)
    assert torch.equal(found, expected)
    turned = nearest(z.t()[:, :8].contiguous().t(), codebooks.new_ones(4, 12), False)
    assert turned.tolist() == [0] * 8


def test_tables_hold_what_tf32_holds_and_measure_the_rest(device: torch.device) -> None:
    source = 7 + normal(1, 30, 20)
    middle = center(source.to(device), False)
    table = prepare(source.to(device), middle, padded=64, width=32, columns=1)
    values, gap = table.values.cpu()[0], source[0].double() - middle.cpu()[0].double()
    # 13 bits of the significand are dropped, and the rest is the nearest such number.
    assert torch.all(values.view(torch.int32) & 0x1FFF == 0)
    assert torch.all((values[:30, :20].double() - gap).abs() <= gap.abs() * 2.0**-11)
    assert torch.all(values[30:] == 0) and torch.all(values[:, 20:] == 0)
    norm, error, half, length = table.measures.cpu()[:, 0, :30]
    torch.testing.assert_close(norm, gap.norm(dim=-1))
    torch.testing.assert_close(error, (values[:30, :20].double() - gap).norm(dim=-1))
    torch.testing.assert_close(half, gap.square().sum(-1) / 2)
    assert torch.all(length == 1)
    bias = table.bias.cpu()[0]
    torch.testing.assert_close(bias[:30], half.float())
    assert torch.all(bias[30:] == torch.inf)
