from __future__ import annotations

import math

import pytest
import torch

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional import (
    code_counts,
    code_sums,
    entropy,
    masked_mean,
    masked_row_mean,
    perplexity,
    usage,
)


def test_counts_and_sums_by_hand() -> None:
    codes = torch.tensor([[0, 2], [2, 3]])
    z = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert code_counts(codes, 5).tolist() == [1, 0, 2, 1, 0]
    assert code_sums(z, codes, 4).tolist() == [[1, 2], [0, 0], [8, 10], [7, 8]]
    mask = torch.tensor([[True, False], [True, False]])
    assert code_counts(codes, 5, mask).tolist() == [1, 0, 1, 0, 0]
    assert code_sums(z, codes, 4, mask).tolist() == [[1, 2], [0, 0], [5, 6], [0, 0]]


def test_masked_rows_may_hold_anything() -> None:
    z = torch.tensor([[1.0], [math.nan], [math.inf]])
    codes, mask = torch.tensor([1, -1, 99]), torch.tensor([True, False, False])
    assert code_sums(z, codes, 2, mask).tolist() == [[0.0], [1.0]]
    assert code_counts(codes, 2, mask).tolist() == [0, 1]


def test_counts_beyond_float32() -> None:
    codes = torch.zeros(2**24 + 1, dtype=torch.int64)
    assert code_counts(codes, 1).item() == 2**24 + 1


def test_bfloat16_sums_do_not_stall() -> None:
    z = torch.ones(5000, 1, dtype=torch.bfloat16)
    sums = code_sums(z, torch.zeros(5000, dtype=torch.int64), 1)
    assert sums.dtype == torch.float32
    assert sums.item() == 5000


def test_no_one_hot_is_built() -> None:
    # One-hot would take 2**22 * 2**16 bytes and fail on any machine.
    codes = torch.arange(2**22) % 2**16
    assert torch.equal(code_counts(codes, 2**16), torch.full((2**16,), 64))


def test_empty_batches() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert code_counts(none, 3).tolist() == [0, 0, 0]
    assert code_sums(torch.zeros(0, 2), none, 3).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("bad", [-1, 3])
def test_codes_out_of_range(bad: int) -> None:
    codes = torch.tensor([0, bad])
    with pytest.raises(CodeError, match=r"expected values in \[0, 2\]"):
        code_counts(codes, 3)
    with pytest.raises(CodeError, match="same codebook"):
        code_sums(torch.zeros(2, 1), codes, 3)


def test_wrong_arguments() -> None:
    codes = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ShapeError, match="int64"):
        code_counts(codes.int(), 3)
    with pytest.raises(ShapeError, match=r"torch\.bool"):
        code_counts(codes, 3, torch.ones(3))
    with pytest.raises(ShapeError, match="mask"):
        code_counts(codes, 3, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ShapeError, match="one code a vector"):
        code_sums(torch.zeros(2, 4), codes, 3)
    with pytest.raises(OptionError, match="codebook_size"):
        code_counts(codes, 0)


def test_usage() -> None:
    assert usage(torch.tensor([3, 0, 1, 0])).item() == 0.5
    assert usage(torch.zeros(4)).item() == 0.0
    assert usage(torch.tensor([[1, 0], [1, 1]])).tolist() == [0.5, 1.0]


def test_perplexity_by_hand() -> None:
    # H(1/2, 1/4, 1/4) = 1.5 bits, so 2^1.5.
    assert perplexity(torch.tensor([2, 1, 1, 0])).item() == pytest.approx(2**1.5, rel=1e-6)
    assert perplexity(torch.tensor([7, 0, 0])).item() == 1.0
    assert perplexity(torch.zeros(5, dtype=torch.int64)).item() == 1.0
    assert perplexity(torch.tensor([[1, 1], [0, 4]])).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("size", [1, 3, 1000, 8192, 2**18])
def test_perplexity_of_equal_counts_is_the_size_and_never_more(size: int) -> None:
    value = perplexity(torch.full((size,), 3)).item()
    assert value <= size
    assert value == pytest.approx(size, rel=1e-6)


def test_entropy_is_exact_at_many_small_probabilities() -> None:
    size = 2**18
    p = torch.full((size,), 1 / size)
    assert entropy(p).item() == pytest.approx(18 * math.log(2), rel=1e-6)  # 12.477, not 11.513


def test_entropy_gradient() -> None:
    p = torch.tensor([0.5, 0.25, 0.0, 1e-44], requires_grad=True)
    value = entropy(p)
    value.backward()
    assert value.item() == pytest.approx(0.5 * math.log(2) + 0.25 * math.log(4))
    assert p.grad[0].item() == pytest.approx(math.log(2) - 1)
    assert p.grad[1].item() == pytest.approx(math.log(4) - 1)
    assert torch.isfinite(p.grad).all()
    assert p.grad[2].item() == pytest.approx(87.3365, rel=1e-4)  # -log(2**-126)


def test_entropy_along_a_dimension() -> None:
    p = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    assert torch.allclose(entropy(p, dim=0), torch.tensor([0.0, math.log(2)]))


def test_masked_mean() -> None:
    x = torch.tensor([[1.0, 3.0], [math.nan, 5.0], [2.0, 2.0]], requires_grad=True)
    mask = torch.tensor([True, False, True])
    mean = masked_mean(x, mask)
    assert mean.item() == 2.0
    mean.backward()
    assert x.grad.tolist() == [[0.25, 0.25], [0, 0], [0.25, 0.25]]
    assert masked_row_mean(x, mask).tolist() == [1.5, 2.5]
    assert masked_mean(torch.tensor([1.0, 2.0]), None).item() == 1.5


def test_mean_of_nothing_is_zero_with_a_graph() -> None:
    x = torch.full((3, 2), math.nan, requires_grad=True)
    mean = masked_mean(x, torch.zeros(3, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0.0
    assert x.grad.tolist() == [[0, 0]] * 3
    empty = torch.zeros(0, 2, requires_grad=True)
    masked_mean(empty, torch.zeros(0, dtype=torch.bool)).backward()
    assert masked_mean(empty, None).item() == 0.0


def test_masked_mean_in_half_precision_is_float32() -> None:
    mean = masked_mean(torch.ones(4, 2, dtype=torch.bfloat16), None)
    assert mean.dtype == torch.float32
    with pytest.raises(ShapeError, match="the rows"):
        masked_mean(torch.zeros(3, 2), torch.ones(2, dtype=torch.bool))
