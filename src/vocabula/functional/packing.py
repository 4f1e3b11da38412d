"""Exact integers from bits and from mixed-radix digits, and back, up to 62 bits.

Everything stays in int64: float32 holds integers only up to 24 bits, so a sum of float powers gives
wrong codes for large books.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional.modes import readable

__all__ = ["MAX_BITS", "pack_bits", "pack_digits", "unpack_bits", "unpack_digits"]

#: The widest code: the product of all sizes is at most 2**62, so that int64 never overflows.
MAX_BITS = 62

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _check_integers(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in _INTEGERS:
        raise ShapeError(f"{name}: expected integers, got {tensor.dtype}; convert with .long()")


def _check_range(name: str, tensor: Tensor, bound: Tensor | int) -> None:
    """Raise `CodeError` for values outside [0, bound), where there are values to read."""
    if tensor.numel() == 0:
        return
    outside = readable((tensor < 0) | (tensor >= bound))
    if outside is not None and bool(outside.any()):
        values = readable(tensor)
        assert values is not None
        top = int(bound.max()) if isinstance(bound, Tensor) else bound
        raise CodeError(
            f"{name}: expected values in [0, {top - 1}], got {int(values.min())} to "
            f"{int(values.max())}; use values of the same book"
        )


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= MAX_BITS:
        raise OptionError(
            f"bits: expected 1 to {MAX_BITS}, got {bits}; split the vector into several books"
        )


def pack_bits(bits: Tensor) -> Tensor:
    """Pack bits into integers, most significant bit first: code = Σ_i bits_i 2^(B-1-i).

    Args:
        bits: (..., B) bool, or integers 0 and 1; 1 <= B <= 62.

    Returns:
        (...) int64 in [0, 2^B).

    Raises:
        OptionError: B is not in 1 to 62.
        CodeError: an integer is neither 0 nor 1 (not checked while compiling).
        ShapeError: `bits` has no dimension or is not of booleans or integers.

    Example:
        >>> pack_bits(torch.tensor([True, True, False]))
        tensor(6)
    """
    if bits.dim() == 0:
        raise ShapeError("bits: expected shape (..., B), got (); add a dimension of bits")
    _check_bits(bits.shape[-1])
    if bits.dtype != torch.bool:
        _check_integers("bits", bits)
        _check_range("bits", bits, 2)
    shifts = torch.arange(bits.shape[-1] - 1, -1, -1, device=bits.device)
    return (bits.long() << shifts).sum(-1)


def unpack_bits(codes: Tensor, bits: int) -> Tensor:
    """Unpack integers into bits, most significant bit first; the inverse of `pack_bits`.

    Args:
        codes: (...) integers in [0, 2^bits).
        bits: 1 to 62.

    Returns:
        (..., bits) bool.

    Raises:
        OptionError: `bits` is not in 1 to 62.
        CodeError: a code is out of range (not checked while compiling).
        ShapeError: `codes` is not of integers.

    Example:
        >>> unpack_bits(torch.tensor(6), 3)
        tensor([ True,  True, False])
    """
    _check_bits(bits)
    _check_integers("codes", codes)
    codes = codes.long()
    _check_range("codes", codes, 2**bits)
    shifts = torch.arange(bits - 1, -1, -1, device=codes.device)
    return ((codes.unsqueeze(-1) >> shifts) & 1).bool()


def _bases(sizes: Sequence[int]) -> list[int]:
    """Return the place values 1, L_1, L_1 L_2, ... and check that the last code fits 62 bits."""
    if len(sizes) == 0 or any(size < 1 for size in sizes):
        raise OptionError(
            f"sizes: expected one or more integers >= 1, got {list(sizes)}; "
            "give the number of levels of each digit"
        )
    places = list(accumulate(sizes, mul, initial=1))
    if places[-1] > 2**MAX_BITS:
        raise OptionError(
            f"sizes: expected a product of at most 2^{MAX_BITS}, got {places[-1]}; "
            "use fewer digits or several books"
        )
    return places[:-1]


def pack_digits(digits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Pack mixed-radix digits, least significant first: code = Σ_i digits_i Π_{j<i} sizes_j.

    Args:
        digits: (..., n) integers, digit i in [0, sizes[i]).
        sizes: n integers >= 1, product at most 2^62.

    Returns:
        (...) int64 in [0, Π sizes).

    Raises:
        OptionError: `sizes` is empty, not positive or its product exceeds 2^62.
        CodeError: a digit is out of range (not checked while compiling).
        ShapeError: `digits` is not of integers or its last dimension is not n.

    Example:
        >>> pack_digits(torch.tensor([1, 2]), (8, 5))
        tensor(17)

    Source:
        Mentzer et al. 2023, "Finite scalar quantization", appendix A.1.
    """
    bases = _bases(sizes)
    _check_integers("digits", digits)
    if digits.dim() == 0 or digits.shape[-1] != len(sizes):
        raise ShapeError(
            f"digits: expected the last dimension {len(sizes)} as sizes, "
            f"got shape {tuple(digits.shape)}; give one digit a size"
        )
    digits = digits.long()
    _check_range("digits", digits, torch.tensor(list(sizes), device=digits.device))
    return (digits * torch.tensor(bases, device=digits.device)).sum(-1)


def unpack_digits(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Unpack integers into mixed-radix digits; the inverse of `pack_digits`.

    Args:
        codes: (...) integers in [0, Π sizes).
        sizes: n integers >= 1, product at most 2^62.

    Returns:
        (..., n) int64, least significant digit first.

    Raises:
        OptionError: `sizes` is empty, not positive or its product exceeds 2^62.
        CodeError: a code is out of range (not checked while compiling).
        ShapeError: `codes` is not of integers.

    Example:
        >>> unpack_digits(torch.tensor(17), (8, 5))
        tensor([1, 2])
    """
    bases = _bases(sizes)
    _check_integers("codes", codes)
    codes = codes.long()
    _check_range("codes", codes, bases[-1] * sizes[-1])
    base = torch.tensor(bases, device=codes.device)
    size = torch.tensor(list(sizes), device=codes.device)
    return codes.unsqueeze(-1).div(base, rounding_mode="floor") % size
