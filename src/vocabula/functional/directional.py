"""Differentiable vector quantization: the error vector by its length and its direction (DiVeQ)."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.functional._checks import check_pair, working_dtype

__all__ = ["directional"]


def directional(z: Tensor, values: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return z plus an error vector whose length is differentiable and whose direction is constant.

    With the codewords e and a noise v::

        q = z + |e - z| sg(u)        u = (e - z + v) / |e - z + v|
        dL/de = d (u.g)              dL/dz = g - d (u.g)             d = (e - z) / |e - z|

    where g = dL/dq. Without noise q is e, bit for bit. With it q lies on the sphere around z
    through e. Where e = z the gradient passes straight through to z.

    Args:
        z: (*batch, D) vectors.
        values: (*batch, D) their codewords; they get a gradient too.
        noise: (*batch, D) v, added to the direction; None for none.

    Returns:
        (*batch, D), in the dtype of `values`.

    Raises:
        ShapeError: the shapes differ or a dtype is not floating-point.

    Example:
        >>> z = torch.tensor([0.0, 0.0], requires_grad=True)
        >>> e = torch.tensor([0.0, 2.0], requires_grad=True)
        >>> directional(z, e).backward(torch.tensor([1.0, 3.0]))
        >>> z.grad, e.grad
        (tensor([1., 0.]), tensor([0., 3.]))

    Source:
        Vali, Bäckström & Solin 2026, "DiVeQ: Differentiable Vector Quantization Using the
        Reparameterization Trick", arXiv:2509.26469; without noise it is their detached variant.
    """
    check_pair(z, values)
    if noise is not None:
        check_pair(z, noise)
    dtype = working_dtype(z, values)
    start, error = z.to(dtype), values.to(dtype) - z.to(dtype)
    away = error.detach() if noise is None else error.detach() + noise.detach().to(dtype)
    result = start + _length(error) * (away / _length(away).clamp_min(torch.finfo(dtype).tiny))
    if noise is not None:
        return result.to(values.dtype)
    # Adding an exact zero keeps the codeword's bits and brings the gradient.
    return values.detach() + (result - result.detach()).to(values.dtype)


def _length(x: Tensor) -> Tensor:
    """The norms (*batch, 1), with derivatives of zero at the origin."""
    square = x.square().sum(-1, keepdim=True)
    some = square > 0
    return torch.where(some, torch.where(some, square, 1.0).sqrt(), 0.0)
