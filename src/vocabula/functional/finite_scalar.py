"""Finite scalar quantization: each coordinate bounded, rounded to a few levels, and counted.

float32 on the CPU uses one pass of the compiled kernel, forward and backward, if it was built.
Everything else, including traced graphs, runs the formulas in torch operations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import accumulate
from numbers import Integral
from operator import mul
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import native
from vocabula.functional._checks import check_floating
from vocabula.functional.bit_packing import MAX_BITS
from vocabula.functional.estimators import straight_through
from vocabula.functional.joined_draws import joined_noise
from vocabula.functional.packing import pack_digits, unpack_digits

__all__ = ["finite_scalar", "finite_scalar_values"]

EPS = 1e-3  # the reference code's margin, so that tanh reaches the outermost levels


class Form(NamedTuple):
    """How coordinates become digits: the levels, and which of the four formulas."""

    levels: tuple[int, ...]
    symmetric: bool = False
    hard_clamp: bool = False


def _constants(form: Form) -> list[list[float]]:
    """Shift, half, offset, middle, top and slope of each coordinate."""
    levels = form.levels
    margin = 1 if form.symmetric else 1 + EPS
    half = [(level - 1) * margin / 2 for level in levels]
    offset = [0.0 if level % 2 or form.symmetric else 0.5 for level in levels]
    inverse = float if form.hard_clamp else math.atanh
    shift = [inverse(o / h) for o, h in zip(offset, half, strict=True)]
    middle = [(level - 1) / 2 if form.symmetric else float(level // 2) for level in levels]
    top = [float(level - 1) for level in levels]
    slope = [h / m for h, m in zip(half, middle, strict=True)]
    return [shift, half, offset, middle, top, slope]


@functools.cache
def _lattice(form: Form) -> native.Lattice:
    basis = [1, *accumulate(form.levels[:-1], mul)]
    shape = {"symmetric": form.symmetric, "hard_clamp": form.hard_clamp}
    return native.Lattice(_constants(form), basis, **shape)


class _Compiled(torch.autograd.Function):
    """The compiled kernel, forward and backward: values, codes, and a zero with a gradient of 0."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
        values, codes = native.finite_scalar(z, _lattice(form))
        ctx.save_for_backward(z)
        ctx.form = form
        ctx.mark_non_differentiable(codes)
        ctx.set_materialize_grads(False)
        return values, codes, z.new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        if grad is None:
            return torch.zeros_like(z), None
        if torch.is_grad_enabled():  # to be differentiated again, unlike the kernel
            constants = _rows(z, ctx.form)
            shift, slope = constants[0], constants[-1]
            if ctx.form.hard_clamp:
                return grad * slope * ((z + shift).abs() <= 1), None
            return grad * slope * (1 - torch.tanh(z + shift).square()), None
        return native.finite_scalar_backward(grad, z, _lattice(ctx.form)), None


def _rows(z: Tensor, form: Form) -> list[Tensor]:
    """The constants (levels,) each, with z's dtype and device."""
    return [torch.tensor(row, dtype=z.dtype, device=z.device) for row in _constants(form)]


def _bounded(z: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """The bounded coordinates (N, levels) in steps from the value 0, its digit, and the top one."""
    shift, half, offset, middle, top, _ = _rows(z, form)
    shifted = z + shift
    bounded = shifted.clamp(-1, 1) if form.hard_clamp else torch.tanh(shifted)
    return half * bounded - offset, middle, top


def _composed(z: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    bounded, middle, top = _bounded(z, form)
    fixed = bounded.detach()
    # Digits lie halfway between the steps where an even number of them is symmetric.
    steps = (fixed + (middle + 0.5)).floor() if form.symmetric else fixed.round() + middle
    digits = torch.minimum(steps.clamp_min(0), top)
    values = straight_through(bounded / middle, (digits - middle) / middle)
    return values, pack_digits(digits.long(), form.levels), z[:0].sum()


def finite_scalar_noise(z: Tensor, form: Form) -> Tensor:
    """The values (N, levels) with noise in place of rounding: uniform, one step wide.

    They stay between the lowest and the highest value. The gradient is that of the bounded
    coordinates.
    """
    bounded, middle, top = _bounded(z, form)
    noisy = bounded.detach() + joined_noise(bounded, "uniform") - 0.5
    noisy = torch.minimum(torch.maximum(noisy, -middle), top - middle)
    return straight_through(bounded / middle, noisy / middle)


def _check_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Return the levels, if each is a whole number from 2 on and their codes fit 62 bits."""
    whole = tuple(levels)
    usable = whole and all(isinstance(level, Integral) and level >= 2 for level in whole)
    if not usable or math.prod(whole) > 2**MAX_BITS:
        raise OptionError(
            f"levels: expected one or more integers from 2 on with a product of at most "
            f"2^{MAX_BITS}, got {list(whole)}; give the number of levels of each coordinate"
        )
    return tuple(int(level) for level in whole)


def finite_scalar_terms(z: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `finite_scalar` does, and a zero () whose gradient to z is zero.

    For a quantizer whose loss is that zero. Only the shape of arguments is checked.

    Raises:
        ShapeError: z is not (N, levels).
    """
    levels = form.levels
    if z.dim() != 2 or z.shape[1] != len(levels):
        raise ShapeError(
            f"z: expected (N, {len(levels)}), a coordinate for each of the levels {list(levels)}, "
            f"got shape {tuple(z.shape)}; give as many levels as coordinates"
        )
    if not torch.compiler.is_compiling() and native.rounds(z, levels):
        result: tuple[Tensor, Tensor, Tensor] = _Compiled.apply(z, form)
        return result
    return _composed(z, form)


def finite_scalar(
    z: Tensor, levels: Sequence[int], *, symmetric: bool = False, hard_clamp: bool = False
) -> tuple[Tensor, Tensor]:
    """Quantize every coordinate to its own number of levels.

    The published form, with L_i levels in coordinate i, and o_i = 1/2 for even L_i, else 0::

        h_i = (L_i - 1)(1 + eps) / 2                f_i(z) = h_i tanh(z + atanh(o_i / h_i)) - o_i
        digit_i = round(f_i(z_i)) + floor(L_i / 2)   values_i = round(f_i(z_i)) / floor(L_i / 2)
        code = sum_i digit_i prod_{j < i} L_j        (the first coordinate is least significant)

    The symmetric form, whose values lie at equal distances from -1 to 1 for even L_i, too::

        h_i = (L_i - 1) / 2                          f_i(z) = h_i tanh(z)
        digit_i = floor(f_i(z_i) + h_i + 1/2)        values_i = digit_i / h_i - 1

    With `hard_clamp` tanh(x) is replaced by min(max(x, -1), 1), and atanh(x) by x. The gradient of
    the values is that of f_i / floor(L_i / 2), or f_i / h_i: rounding passes it straight through.

    Args:
        z: (N, levels) float32 or float64, finite.
        levels: L_i >= 2; their product is at most 2^62.
        symmetric: take the symmetric form.
        hard_clamp: bound by clamping; in the symmetric form values are then the nearest ones.

    Returns:
        values (N, levels) in [-1, 1] and codes (N,) int64.

    Raises:
        ShapeError: z is not (N, levels), or not of floating-point numbers.
        OptionError: a level is below 2, there is none, or their product is above 2^62.

    Example:
        >>> values, codes = finite_scalar(torch.tensor([[-9.0, 0.0], [9.0, 9.0]]), [3, 5])
        >>> values.tolist(), codes.tolist()
        ([[-1.0, 0.0], [1.0, 1.0]], [6, 14])

    Source:
        Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", section 3 and
        appendix A.1 (eps = 1e-3 there too). The symmetric form: Parker et al. 2024, "Scaling
        Transformers for Low-Bitrate High-Quality Speech Coding", section 3.2. Digits are
        clamped to [0, L), which only acts above 1000 levels, where eps would reach one level too
        far.
    """
    check_floating("z", z)
    values, codes, _ = finite_scalar_terms(z, Form(_check_levels(levels), symmetric, hard_clamp))
    return values, codes


def finite_scalar_values(
    codes: Tensor, levels: Sequence[int], dtype: torch.dtype, *, symmetric: bool = False
) -> Tensor:
    """Return the values (N, levels) of codes (N,), bit for bit as in `finite_scalar`.

    Args:
        codes: (N,) int64 in [0, prod L).
        levels: L_i >= 2; their product is at most 2^62.
        dtype: of the values.
        symmetric: take the symmetric form.

    Raises:
        CodeError: a code is out of range.
        OptionError: a level is below 2, there is none, or their product is above 2^62.

    Example:
        >>> finite_scalar_values(torch.tensor([6]), [3, 5], torch.float32)
        tensor([[-1.,  0.]])
    """
    levels = _check_levels(levels)
    middle = torch.tensor(_constants(Form(levels, symmetric))[3], dtype=dtype, device=codes.device)
    return (unpack_digits(codes, levels).to(dtype) - middle) / middle
