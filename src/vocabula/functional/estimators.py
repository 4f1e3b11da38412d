"""Gradient estimators: how a gradient passes from codewords back to vectors.

Every estimator takes the vectors z and their codewords, returns the codewords bit for bit, and
sends a gradient to z only. The codebook learns by its own rule, not through the estimator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional._checks import check_pair, working_dtype
from vocabula.functional.modes import transforming

__all__ = ["rotation", "straight_through"]


# Operators, because autograd.Function traces as one graph only with a DeprecationWarning.
@torch.library.custom_op(
    "vocabula::straight_through", mutates_args=(), schema="(Tensor z, Tensor values) -> Tensor"
)
def _straight_through(z: Tensor, values: Tensor) -> Tensor:
    return values.clone()


@torch.library.custom_op(
    "vocabula::rotation",
    mutates_args=(),
    schema="(Tensor z, Tensor values, float max_gain) -> Tensor",
)
def _rotation(z: Tensor, values: Tensor, max_gain: float) -> Tensor:
    return values.clone()


@_straight_through.register_fake
def _(z: Tensor, values: Tensor) -> Tensor:
    return torch.empty_like(values)


@_rotation.register_fake
def _(z: Tensor, values: Tensor, max_gain: float) -> Tensor:
    return torch.empty_like(values)


def _keep_dtype(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.dtype = inputs[0].dtype


def _straight_back(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    return grad.to(ctx.dtype), None


def _keep_pair(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    z, values, ctx.max_gain = inputs
    ctx.save_for_backward(z, values)


def _turn_back(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    z, values = ctx.saved_tensors
    return _turned(grad, z, values, ctx.max_gain, back=True).to(z.dtype), None, None


_straight_through.register_autograd(_straight_back, setup_context=_keep_dtype)
_rotation.register_autograd(_turn_back, setup_context=_keep_pair)


def _turned(x: Tensor, z: Tensor, values: Tensor, max_gain: float, *, back: bool) -> Tensor:
    """Multiply `x` by gain (I - 2 r rᵀ + 2 ê ẑᵀ), or `back` by its transpose; all constants."""
    dtype = working_dtype(z, values)  # unit vectors need more than the 11 bits of a half
    x, z, values = x.to(dtype), z.detach().to(dtype), values.detach().to(dtype)
    tiny = 16 * torch.finfo(z.dtype).tiny ** 0.5  # the square of a shorter vector underflows
    z_norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    e_norm = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    z_unit = z / z_norm.clamp_min(tiny)
    e_unit = values / e_norm.clamp_min(tiny)
    middle = z_unit + e_unit
    middle_norm = torch.linalg.vector_norm(middle, dim=-1, keepdim=True)
    r = middle / middle_norm.clamp_min(tiny)
    gain = (e_norm / z_norm.clamp_min(tiny)).clamp(max=max_gain)
    before, after = (e_unit, z_unit) if back else (z_unit, e_unit)
    along_r = (r * x).sum(-1, keepdim=True)
    along = (before * x).sum(-1, keepdim=True)
    rotated = gain * (x - 2 * r * along_r + 2 * after * along)
    # Opposite vectors leave the plane of rotation open: below 1e-3 its float32 error is > 1e-4.
    defined = (z_norm > tiny) & (e_norm > tiny) & (middle_norm > 1e-3)
    return torch.where(defined, rotated, x)


def straight_through(z: Tensor, values: Tensor) -> Tensor:
    """Return `values`; the gradient goes to `z` unchanged.

    Forward: values, bit for bit. Backward: dL/dz = dL/dvalues. The usual z + sg(values - z) rounds,
        so that a decoder's training input differs from its later input.

    Args:
        z: (*batch, D) vectors.
        values: (*batch, D) their codewords.

    Returns:
        (*batch, D), in the dtype of `values`.

    Raises:
        ShapeError: the shapes differ or a dtype is not floating-point.

    Example:
        >>> z = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> straight_through(z, torch.tensor([1.5, 1.5])).sum().backward()
        >>> z.grad
        tensor([1., 1.])

    Source:
        Bengio, Léonard, Courville 2013; van den Oord, Vinyals, Kavukcuoglu 2017, section 3.2.
    """
    check_pair(z, values)
    if transforming():  # an exact zero, which keeps the bits of finite vectors
        return values.detach() + (z - z.detach()).to(values.dtype)
    return _straight_through(z, values.detach())


def rotation(z: Tensor, values: Tensor, max_gain: float = 4.0) -> Tensor:
    """Return `values`; the gradient is rotated and scaled as z is rotated and scaled into `values`.

    Forward: values = e, bit for bit. Backward: with ẑ = z/|z|, ê = e/|e|, r = (ẑ + ê)/|ẑ + ê| and
    gain = min(|e|/|z|, max_gain), all constants,

        q = gain (z - 2 r rᵀz + 2 ê ẑᵀz),   dL/dz = gain (g - 2 r rᵀg + 2 ẑ êᵀg),   g = dL/dq.

    Args:
        z: (*batch, D) vectors.
        values: (*batch, D) their codewords.
        max_gain: > 0, the largest factor by which a gradient's norm may grow. Trained models have
            |e| near |z|, so the default 4 acts only on vectors near the origin.

    Returns:
        (*batch, D), in the dtype of `values`.

    Raises:
        ShapeError: the shapes differ or a dtype is not floating-point.
        OptionError: `max_gain` is not positive.

    Example:
        >>> z = torch.tensor([1.0, 0.0], requires_grad=True)
        >>> rotation(z, torch.tensor([0.0, 2.0])).backward(torch.tensor([0.0, 1.0]))
        >>> [round(g, 4) for g in z.grad.tolist()]
        [2.0, 0.0]

    Source:
        Fifty et al. 2024, "Restructuring vector quantization with the rotation trick", section 4.2.
        We deviate in three points: the gain is bounded (|e|/|z| has no bound as z -> 0), the
        forward value is e itself and not its recomputation, and where the rotation is undefined
        (z = 0, e = 0, ê = -ẑ) the gradient passes straight through.
    """
    check_pair(z, values)
    if not max_gain > 0:
        raise OptionError(f"max_gain: expected a number > 0, got {max_gain}; the default is 4")
    if transforming():
        zero = _turned(z - z.detach(), z, values, max_gain, back=False)
        return values.detach() + zero.to(values.dtype)
    return _rotation(z, values.detach(), float(max_gain))
