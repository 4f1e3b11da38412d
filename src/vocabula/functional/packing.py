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

from vocabula.errors import OptionError, ShapeError
from vocabula.functional.bit_packing import MAX_BITS, check_integers, check_range

__all__ = ["pack_digits", "unpack_digits"]


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
    check_integers("digits", digits)
    if digits.dim() == 0 or digits.shape[-1] != len(sizes):
        raise ShapeError(
            f"digits: expected the last dimension {len(sizes)} as sizes, "
            f"got shape {tuple(digits.shape)}; give one digit a size"
        )
    digits = digits.long()
    check_range("digits", digits, torch.tensor(list(sizes), device=digits.device))
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
    check_integers("codes", codes)
    codes = codes.long()
    check_range("codes", codes, bases[-1] * sizes[-1])
    base = torch.tensor(bases, device=codes.device)
    size = torch.tensor(list(sizes), device=codes.device)
    return codes.unsqueeze(-1).div(base, rounding_mode="floor") % size
