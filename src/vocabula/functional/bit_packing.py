"""Codes as bits of equal width."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional.modes import readable

#: The widest code: the product of all sizes is at most 2**62, so that int64 never overflows.
MAX_BITS = 62


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_integers(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that does not hold integers."""
    if tensor.dtype not in _INTEGERS:
        raise ShapeError(f"{name}: expected integers, got {tensor.dtype}; convert with .long()")


def check_range(name: str, tensor: Tensor, bound: Tensor | int) -> None:
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
        check_integers("bits", bits)
        check_range("bits", bits, 2)
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
    check_integers("codes", codes)
    codes = codes.long()
    check_range("codes", codes, 2**bits)
    shifts = torch.arange(bits - 1, -1, -1, device=codes.device)
    return ((codes.unsqueeze(-1) >> shifts) & 1).bool()
