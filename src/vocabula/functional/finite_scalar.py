"""Finite scalar quantization: each coordinate bounded, rounded to a few levels, and counted.

float32 on the CPU runs one pass of the compiled kernel, forward and backward, where it was built.
Anything else, and every traced graph, runs the same formulas in torch operations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor

from vocabula.functional import native
from vocabula.functional.estimators import straight_through
from vocabula.functional.packing import pack_digits, unpack_digits

__all__ = ["finite_scalar", "finite_scalar_values"]

EPS = 1e-3  # the reference code's margin, so that tanh reaches the outermost levels


def _constants(levels: tuple[int, ...]) -> list[list[float]]:
    """Shift, half, offset, middle, top and slope of each coordinate."""
    half = [(level - 1) * (1 + EPS) / 2 for level in levels]
    offset = [0.0 if level % 2 else 0.5 for level in levels]
    shift = [math.atanh(o / h) for o, h in zip(offset, half, strict=True)]
    middle = [float(level // 2) for level in levels]
    top = [float(level - 1) for level in levels]
    slope = [h / m for h, m in zip(half, middle, strict=True)]
    return [shift, half, offset, middle, top, slope]


@functools.cache
def _tables(levels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The constants (6, levels), and (levels,) what a step of each digit adds to the code."""
    basis = [1, *accumulate(levels[:-1], mul)]
    return torch.tensor(_constants(levels)), torch.tensor(basis, dtype=torch.int64)


class _Compiled(torch.autograd.Function):
    """The compiled kernel, forward and backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, levels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        constants, basis = _tables(levels)
        values, codes = native.finite_scalar(z, constants, basis)
        ctx.save_for_backward(z, constants)
        ctx.mark_non_differentiable(codes)
        return values, codes

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None]:
        z, constants = ctx.saved_tensors
        return native.finite_scalar_backward(grad, z, constants), None


def _composed(z: Tensor, levels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    shift, half, offset, middle, top, _ = (z.new_tensor(row) for row in _constants(levels))
    bounded = half * torch.tanh(z + shift) - offset
    digits = torch.minimum((bounded.detach().round() + middle).clamp_min(0), top)
    values = straight_through(bounded / middle, (digits - middle) / middle)
    return values, pack_digits(digits.long(), levels)


def finite_scalar(z: Tensor, levels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Quantize every coordinate to its own number of levels.

    With L_i levels in coordinate i, and o_i = 1/2 for even L_i, else 0::

        h_i = (L_i - 1)(1 + eps) / 2                f_i(z) = h_i tanh(z + atanh(o_i / h_i)) - o_i
        digit_i = round(f_i(z_i)) + floor(L_i / 2)   values_i = round(f_i(z_i)) / floor(L_i / 2)
        code = sum_i digit_i prod_{j < i} L_j        (the first coordinate is least significant)

    The gradient of the values is that of f_i / floor(L_i / 2): rounding passes it straight through.

    Args:
        z: (N, levels) float32 or float64, finite.
        levels: L_i >= 2; their product is at most 2^62.

    Returns:
        values (N, levels) in [-1, 1] and codes (N,) int64.

    Example:
        >>> values, codes = finite_scalar(torch.tensor([[-9.0, 0.0], [9.0, 9.0]]), [3, 5])
        >>> values.tolist(), codes.tolist()
        ([[-1.0, 0.0], [1.0, 1.0]], [6, 14])

    Source:
        Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", section 3 and
        appendix A.1 (eps = 1e-3 there too). Digits are clamped to [0, L), which only acts above
        1000 levels, where eps would reach one level too far.
    """
    levels = tuple(levels)
    if not torch.compiler.is_compiling() and native.rounds(z, levels):
        result: tuple[Tensor, Tensor] = _Compiled.apply(z, levels)
        return result
    return _composed(z, levels)


def finite_scalar_values(codes: Tensor, levels: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return the values (N, levels) of codes (N,), bit for bit those of `finite_scalar`.

    Args:
        codes: (N,) int64 in [0, prod L).
        levels: L_i >= 2.
        dtype: of the values.

    Example:
        >>> finite_scalar_values(torch.tensor([6]), [3, 5], torch.float32)
        tensor([[-1.,  0.]])
    """
    middle = torch.tensor(_constants(tuple(levels))[3], dtype=dtype, device=codes.device)
    return (unpack_digits(codes, levels).to(dtype) - middle) / middle
