"""Codes as symbols: values by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vocabula.priors import CodeGrid


def test_a_book_of_2_to_the_18_is_two_digits_of_9_bits() -> None:
    codes = CodeGrid((2**18,), (1,))
    assert codes.symbol_sizes == (512, 512)
    split = codes.split(torch.tensor([[0], [511], [512], [1000], [2**18 - 1]]))
    assert split[:, 0].tolist() == [[0, 0], [0, 511], [1, 0], [1, 488], [511, 511]]


def test_a_book_below_the_limit_is_one_symbol() -> None:
    assert CodeGrid((2**14,), (1,)).symbol_sizes == (2**14,)
    assert CodeGrid((2**14 + 1,), (1,)).symbol_sizes == (128, 129)  # 129^2 >= 16385
    assert CodeGrid((1,), (1,)).symbol_sizes == (1,)


def test_books_follow_one_another_in_a_position() -> None:
    codes = CodeGrid((4, 10), (1, 2), largest_symbol=4)
    # 10 = 3 x 4 - 2: two digits of base 4, the first below 3
    assert codes.symbol_sizes == (4, 3, 4)
    split = codes.split(torch.tensor([[[[3, 9], [0, 4]]]]))
    assert split[0, 0].tolist() == [[3, 2, 1], [0, 1, 0]]


def test_only_impossible_digits_are_forbidden() -> None:
    codes = CodeGrid((4, 10), (1,), largest_symbol=4)
    symbols = torch.tensor([[3, 2, 0], [3, 1, 0]])
    allowed = codes.forbid(torch.zeros(2, 4), 2, symbols).isfinite()
    assert allowed.tolist() == [[True, True, False, False], [True] * 4]
    logits = torch.zeros(2, 3)
    assert codes.forbid(logits, 1, symbols) is logits


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3),
    st.integers(2, 5000),
    st.integers(0, 10**6),
)
def test_join_undoes_split(sizes: list[int], largest: int, seed: int) -> None:
    codes = CodeGrid(tuple(sizes), (2, 3), largest_symbol=largest)
    assert max(codes.symbol_sizes) <= largest
    generator = torch.Generator().manual_seed(seed)
    books = [torch.randint(size, (4, 2, 3), generator=generator) for size in sizes]
    books[0][0, 0, 0] = sizes[0] - 1
    value = torch.stack(books, -1).reshape(4, 2, 3, *codes.shape_of_code)
    symbols = codes.split(value)
    assert torch.equal(codes.join(symbols), value)
    for slot, size in enumerate(codes.symbol_sizes):
        assert int(symbols[..., slot].max()) < size
        possible = codes.forbid(torch.zeros(4, 2, 3, size), slot, symbols)
        assert possible.gather(-1, symbols[..., slot, None]).isfinite().all()


def test_code_shapes() -> None:
    assert CodeGrid((4,), (2,)).shape_of_code == ()
    assert CodeGrid((4,), (2,), (1,)).shape_of_code == (1,)
    assert CodeGrid((4, 4), (2,)).shape_of_code == (2,)
    with pytest.raises(ValueError, match="expected integers"):
        CodeGrid((4,), (2,), (1,)).check(torch.zeros(1, 2, dtype=torch.long))
