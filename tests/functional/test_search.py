from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import nearest_codeword, nearest_codewords, sample_codeword

pytestmark = pytest.mark.usefixtures("each_way")


def distances(z: torch.Tensor, codebook: torch.Tensor, distance: str = "euclidean"):
    """Float64 brute force: every squared distance, by its definition."""
    z, codebook = z.double(), codebook.double()
    if distance == "cosine":
        z, codebook = F.normalize(z, dim=-1), F.normalize(codebook, dim=-1)
    return torch.stack([(z - e).square().sum(-1) for e in codebook], -1)


def lowest(d: torch.Tensor) -> torch.Tensor:
    """Index of the exact minimum, the lowest of equals."""
    return (d == d.amin(-1, keepdim=True)).int().argmax(-1)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


CASES = {
    "plain": (normal(3000, 16), normal(300, 16, seed=1)),
    "offset 1000, spread 0.1": (1000 + 0.1 * normal(2000, 8), 1000 + 0.1 * normal(64, 8, seed=1)),
    "offset 1e6, spread 1": (1e6 + normal(500, 8), 1e6 + normal(64, 8, seed=1)),
    "data far from a book at zero": (1e4 + normal(1000, 8), 1e-3 * normal(64, 8, seed=1)),
    "book far from data at zero": (1e-3 * normal(1000, 8), 1e4 + normal(64, 8, seed=1)),
    "one exploded codeword": (
        normal(1000, 8),
        torch.cat([torch.full((1, 8), 1e6), normal(63, 8, seed=1)]),
    ),
    "near duplicates": (normal(1000, 8), 1 + 1e-7 * normal(64, 8, seed=1)),
    "overflow of float32 squares": (1e25 * normal(200, 4), 1e25 * normal(16, 4, seed=1)),
    "subnormal": (1e-40 * normal(200, 4), 1e-40 * normal(16, 4, seed=1)),
    "products underflow": (1e-21 * normal(500, 4), 1e-21 * normal(64, 4, seed=1)),
    "grid with ties": (
        torch.randint(-3, 4, (2000, 3), generator=torch.Generator().manual_seed(0)).float() / 2,
        torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 3),
    ),
    "float64": (
        1e9 + normal(500, 8, dtype=torch.float64),
        1e9 + normal(64, 8, seed=1, dtype=torch.float64),
    ),
    "one codeword": (normal(100, 8), normal(1, 8, seed=1)),
    "one dimension": (normal(1000, 1), normal(50, 1, seed=1)),
    "several tiles": (normal(3000, 4), normal(1500, 4, seed=1)),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_float64_brute_force(name: str) -> None:
    z, codebook = CASES[name]
    assert torch.equal(nearest_codeword(z, codebook), lowest(distances(z, codebook)))


@pytest.mark.parametrize("name", ["plain", "one dimension", "float64", "one codeword"])
def test_cosine_equals_float64_brute_force(name: str) -> None:
    z, codebook = CASES[name]
    found = nearest_codeword(z, codebook, distance="cosine")
    d = distances(z, codebook, "cosine")
    # Two ways of normalising differ by a few float64 roundings; within those any winner is right.
    assert torch.all(d.gather(-1, found[:, None])[:, 0] <= d.amin(-1) + 1e-15)


@pytest.mark.parametrize("name", CASES)
def test_several_are_in_order_of_float64_distance(name: str) -> None:
    z, codebook = CASES[name]
    count = min(4, codebook.shape[0])
    expected = distances(z, codebook).argsort(dim=-1, stable=True)[:, :count]
    assert torch.equal(nearest_codewords(z, codebook, count), expected)


def test_all_codewords_in_order() -> None:
    z, codebook = normal(50, 3), normal(20, 3, seed=1)
    expected = distances(z, codebook).argsort(dim=-1, stable=True)
    assert torch.equal(nearest_codewords(z, codebook, 20), expected)


def test_several_of_a_large_book_and_many_of_a_small_one() -> None:
    for count, size in [(3, 5000), (65, 300)]:  # beyond what float64 alone would be fast for
        z, codebook = normal(40, 16), normal(size, 16, seed=1)
        expected = distances(z, codebook).argsort(dim=-1, stable=True)[:, :count]
        assert torch.equal(nearest_codewords(z, codebook, count), expected)


def test_duplicate_codewords_give_the_lowest_index() -> None:
    z, codebook = normal(500, 8), normal(40, 8, seed=1)
    codes = nearest_codeword(z, torch.cat([codebook, codebook, codebook]))
    assert torch.equal(codes, nearest_codeword(z, codebook))
    pair = nearest_codewords(z, torch.cat([codebook, codebook]), 2)
    assert torch.equal(pair, torch.stack([codes, codes + 40], -1))


def test_all_codewords_equal() -> None:
    assert torch.equal(
        nearest_codeword(normal(300, 4), torch.ones(2000, 4)), torch.zeros(300, dtype=torch.int64)
    )


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_exact_under_reduced_matmul_precision(precision: str) -> None:
    z, codebook = normal(1000, 32), normal(256, 32, seed=1)
    expected = lowest(distances(z, codebook))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(nearest_codeword(z, codebook), expected)
    finally:
        torch.set_float32_matmul_precision(before)


def test_exact_under_autocast() -> None:
    z, codebook = normal(1000, 32), normal(256, 32, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = nearest_codeword(z, codebook)
    assert torch.equal(codes, lowest(distances(z, codebook)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_as_it_stands(dtype: torch.dtype) -> None:
    z, codebook = normal(500, 16).to(dtype), normal(64, 16, seed=1).to(dtype)
    assert torch.equal(nearest_codeword(z, codebook), lowest(distances(z, codebook)))


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (2, 3, 4, 5), (0, 5), (2, 0, 5)])
def test_any_batch_shape(shape: tuple[int, ...]) -> None:
    codebook = normal(9, 5, seed=1)
    z = normal(*shape)
    assert nearest_codeword(z, codebook).shape == shape[:-1]
    assert nearest_codewords(z, codebook, 3).shape == (*shape[:-1], 3)
    assert sample_codeword(z, codebook, 1.0).shape == shape[:-1]
    assert nearest_codeword(z, codebook).dtype == torch.int64


def test_views() -> None:
    z, codebook = normal(6, 5, 40), normal(5, 30, seed=1)
    view, book = z.movedim(1, -1), codebook.t()
    assert not view.is_contiguous()
    codes = nearest_codeword(view, book)
    assert torch.equal(codes, nearest_codeword(view.contiguous(), book.contiguous()))


def test_broken_vectors_get_code_zero_and_harm_no_other() -> None:
    z, codebook = normal(100, 8), normal(32, 8, seed=1)
    expected = nearest_codeword(z, codebook)
    z[3, 2], z[7, 0], z[9, 1] = torch.nan, torch.inf, -torch.inf
    expected[[3, 7, 9]] = 0
    assert torch.equal(nearest_codeword(z, codebook), expected)
    assert nearest_codewords(z, codebook, 3)[7].tolist() == [0, 1, 2]
    assert sample_codeword(z, codebook, 1.0)[[3, 7, 9]].tolist() == [0, 0, 0]


def test_cosine_of_zero_vectors() -> None:
    codebook = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, -3.0]])
    # (1, 1): cosines -0.7, 0, -0.7. Zero: all cosines 0. (-2, 0): 1, 0, 0.
    z = torch.tensor([[1.0, 1.0], [0.0, 0.0], [-2.0, 0.0]])
    assert nearest_codeword(z, codebook, distance="cosine").tolist() == [1, 0, 0]


def test_cosine_at_an_offset() -> None:
    z, codebook = CASES["offset 1000, spread 0.1"]
    found = nearest_codeword(z, codebook, distance="cosine")
    d = distances(z, codebook, "cosine")
    assert torch.all(d.gather(-1, found[:, None])[:, 0] <= d.amin(-1) * (1 + 1e-6))


def test_sample_has_the_softmax_distribution() -> None:
    torch.manual_seed(0)
    codebook = torch.tensor([[0.0], [1.0], [3.0]])
    codes = sample_codeword(torch.zeros(40_000, 1), codebook, 2.0)
    # exp(0), exp(-1/2), exp(-9/2), normalised.
    expected = torch.tensor([0.618184, 0.374948, 0.006867])
    share = torch.bincount(codes, minlength=3) / 40_000
    assert torch.allclose(share, expected, atol=4 * 0.5 / 200)


def test_sample_follows_the_global_seed() -> None:
    z, codebook = normal(200, 4), normal(30, 4, seed=1)
    torch.manual_seed(1)
    first = sample_codeword(z, codebook, 5.0)
    second = sample_codeword(z, codebook, 5.0)
    torch.manual_seed(1)
    assert torch.equal(sample_codeword(z, codebook, 5.0), first)
    assert not torch.equal(second, first)


def test_sample_at_temperature_zero_is_the_nearest() -> None:
    z, codebook = normal(200, 4), normal(30, 4, seed=1)
    assert torch.equal(sample_codeword(z, codebook, 0.0), nearest_codeword(z, codebook))


def test_arguments_are_not_changed() -> None:
    z, codebook = normal(50, 4), normal(30, 4, seed=1)
    before = z.clone(), codebook.clone()
    nearest_codeword(z, codebook)
    nearest_codewords(z, codebook, 2, distance="cosine")
    assert torch.equal(z, before[0])
    assert torch.equal(codebook, before[1])


@pytest.mark.parametrize(
    ("z", "codebook", "word"),
    [
        (torch.zeros(3, 4), torch.zeros(5, 6), "last dimension 6"),
        (torch.zeros(3, 4), torch.zeros(0, 4), "K, D >= 1"),
        (torch.zeros(3, 0), torch.zeros(5, 0), "K, D >= 1"),
        (torch.zeros(3, 4), torch.zeros(5), "one codeword a row"),
        (torch.tensor(1.0), torch.zeros(5, 1), "last dimension"),
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(5, 4), "floating-point"),
        (torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(5, 4), "floating-point"),
        (torch.zeros(3, 4), torch.zeros(5, 4, dtype=torch.int32), "floating-point"),
        (torch.zeros(3, 4, device="meta"), torch.zeros(5, 4), "device"),
    ],
)
def test_wrong_tensors_are_named(z: torch.Tensor, codebook: torch.Tensor, word: str) -> None:
    with pytest.raises(ShapeError, match=word):
        nearest_codeword(z, codebook)


def test_wrong_options_are_named() -> None:
    z, codebook = normal(3, 4), normal(5, 4)
    with pytest.raises(OptionError, match="'cosine'"):
        nearest_codeword(z, codebook, distance="manhattan")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="expected 1 to 5"):
        nearest_codewords(z, codebook, 6)
    with pytest.raises(OptionError, match="temperature"):
        sample_codeword(z, codebook, -1.0)
