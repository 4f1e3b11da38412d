from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional import pack_bits, pack_digits, unpack_bits, unpack_digits

quick = settings(deadline=None, max_examples=60)


@quick
@given(
    st.integers(1, 62).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, 2**bits - 1)))
)
def test_bits_round_trip_and_agree_with_python(case: tuple[int, int]) -> None:
    bits, code = case
    unpacked = unpack_bits(torch.tensor([code]), bits)
    assert unpacked.dtype == torch.bool
    assert "".join(str(int(b)) for b in unpacked[0]) == f"{code:0{bits}b}"
    assert pack_bits(unpacked).tolist() == [code]
    assert pack_bits(unpacked.long()).tolist() == [code]


@st.composite
def digits_and_sizes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    sizes: list[int] = []
    while len(sizes) < 20 and (not sizes or draw(st.booleans())):
        room = 2**62 // math.prod(sizes)
        if room < 1:
            break
        sizes.append(draw(st.integers(1, min(room, draw(st.sampled_from([3, 1000, 2**62]))))))
    return [draw(st.integers(0, size - 1)) for size in sizes], sizes


@pytest.mark.slow
@quick
@given(digits_and_sizes())
def test_digits_round_trip_and_agree_with_python(case: tuple[list[int], list[int]]) -> None:
    digits, sizes = case
    code = 0
    for digit, size in reversed(list(zip(digits, sizes, strict=True))):
        code = code * size + digit  # Horner: the first digit is the least significant
    packed = pack_digits(torch.tensor([digits]), sizes)
    assert packed.tolist() == [code]
    assert unpack_digits(packed, sizes).tolist() == [digits]


def test_known_values() -> None:
    assert pack_bits(torch.tensor([[True, False, False], [False, False, True]])).tolist() == [4, 1]
    assert pack_digits(torch.tensor([7, 4, 4, 4]), (8, 5, 5, 5)).item() == 999
    assert unpack_digits(torch.tensor(8), (8, 5)).tolist() == [0, 1]
    assert pack_bits(torch.ones(62, dtype=torch.bool)).item() == 2**62 - 1


def test_shapes() -> None:
    assert pack_bits(torch.zeros(2, 0, 3, 4, dtype=torch.bool)).shape == (2, 0, 3)
    assert unpack_bits(torch.zeros(2, 3, dtype=torch.int32), 4).shape == (2, 3, 4)
    assert pack_digits(torch.zeros(0, 2, dtype=torch.uint8), (3, 3)).shape == (0,)


@pytest.mark.parametrize("bits", [0, 63, 64])
def test_too_many_or_no_bits(bits: int) -> None:
    with pytest.raises(OptionError, match="expected 1 to 62"):
        pack_bits(torch.zeros(3, bits, dtype=torch.bool))
    with pytest.raises(OptionError, match="several books"):
        unpack_bits(torch.zeros(3, dtype=torch.int64), bits)


@pytest.mark.parametrize("sizes", [(), (0, 3), (2**31, 2**32), (3, -1)])
def test_bad_sizes(sizes: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="sizes"):
        pack_digits(torch.zeros(1, len(sizes), dtype=torch.int64), sizes)
    with pytest.raises(OptionError, match="sizes"):
        unpack_digits(torch.zeros(1, dtype=torch.int64), sizes)


def test_values_out_of_range() -> None:
    with pytest.raises(CodeError, match=r"\[0, 1\], got 0 to 2"):
        pack_bits(torch.tensor([0, 2]))
    with pytest.raises(CodeError, match=r"\[0, 7\]"):
        unpack_bits(torch.tensor([8]), 3)
    with pytest.raises(CodeError, match="got -1"):
        unpack_bits(torch.tensor([-1]), 3)
    with pytest.raises(CodeError, match="digits"):
        pack_digits(torch.tensor([0, 3]), (5, 3))
    with pytest.raises(CodeError, match="codes"):
        unpack_digits(torch.tensor([15]), (5, 3))


def test_wrong_tensors() -> None:
    with pytest.raises(ShapeError, match=r"\.long\(\)"):
        pack_bits(torch.zeros(3))
    with pytest.raises(ShapeError, match="integers"):
        unpack_bits(torch.zeros(3), 3)
    with pytest.raises(ShapeError, match="add a dimension"):
        pack_bits(torch.tensor(True))
    with pytest.raises(ShapeError, match="last dimension 2"):
        pack_digits(torch.zeros(3, 3, dtype=torch.int64), (2, 2))
