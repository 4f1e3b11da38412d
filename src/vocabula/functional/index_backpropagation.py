"""Index backpropagation: a look-up whose gradient reaches every codeword (IBQ).

The softmax over all codewords is computed block by block in the backward pass alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vocabula.errors import ShapeError
from vocabula.functional._checks import (
    TILE,
    Distance,
    check_distance,
    check_temperature,
    check_vectors,
    rows_per_block,
)
from vocabula.functional.modes import differentiable_gradient, transforming, without_autocast

__all__ = ["index_backpropagation"]


def _composed(
    z: Tensor, codebook: Tensor, bias: Tensor, codes: Tensor, temperature: float
) -> tuple[Tensor]:
    """The result of `_look_up`, in operations that every transform knows; (N, K) memory."""
    p = torch.softmax((z @ codebook.t() + bias) / temperature, -1)
    # Adding an exact zero keeps the codeword's bits and brings the gradient of the mixture.
    return (F.embedding(codes, codebook) + (p - p.detach()) @ codebook,)


@torch.library.custom_op(
    "vocabula::index_look_up",
    mutates_args=(),
    schema="(Tensor z, Tensor codebook, Tensor bias, Tensor codes, float temperature) -> Tensor",
)
def _look_up(
    z: Tensor, codebook: Tensor, bias: Tensor, codes: Tensor, temperature: float
) -> Tensor:
    return F.embedding(codes, codebook)


@torch.library.custom_op(
    "vocabula::index_look_up_backward",
    mutates_args=(),
    schema=(
        "(Tensor grad, Tensor z, Tensor codebook, Tensor bias, Tensor codes, float temperature) "
        "-> (Tensor, Tensor, Tensor)"
    ),
)
def _backward(
    grad: Tensor, z: Tensor, codebook: Tensor, bias: Tensor, codes: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_z = torch.empty_like(z, memory_format=torch.contiguous_format)
    grad_codebook = torch.zeros_like(codebook, memory_format=torch.contiguous_format)
    grad_bias = torch.zeros_like(bias)
    step = rows_per_block(max(codebook.shape), TILE // 2)
    with without_autocast(z.device):
        for start in range(0, z.shape[0], step):
            block = slice(start, start + step)
            p = torch.softmax(torch.addmm(bias, z[block], codebook.t()) / temperature, -1)
            # dL/dy_k = g.e_k goes through the softmax: p (g.e - sum p g.e).
            of_one_hot = grad[block] @ codebook.t()
            of_scores = p * (of_one_hot - (p * of_one_hot).sum(-1, keepdim=True)) / temperature
            grad_z[block] = of_scores @ codebook
            grad_codebook.addmm_(of_scores.t(), z[block])
            grad_bias += of_scores.sum(0)
        grad_codebook.index_add_(0, codes, grad)
    return grad_z, grad_codebook, grad_bias


@_look_up.register_fake
def _(z: Tensor, codebook: Tensor, bias: Tensor, codes: Tensor, temperature: float) -> Tensor:
    return z.new_empty(z.shape)


@_backward.register_fake
def _(
    grad: Tensor, z: Tensor, codebook: Tensor, bias: Tensor, codes: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    return z.new_empty(z.shape), codebook.new_empty(codebook.shape), bias.new_empty(bias.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.temperature = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    inputs = (*ctx.saved_tensors, ctx.temperature)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        needed = (*ctx.needs_input_grad[:3], False, False)
        return tuple(differentiable_gradient(_composed, inputs, needed, (grad,)))
    return *_backward(grad.contiguous(), *inputs), None, None


_look_up.register_autograd(_gradient, setup_context=_keep)


def index_backpropagation(
    z: Tensor,
    codebook: Tensor,
    codes: Tensor,
    *,
    temperature: float = 1.0,
    distance: Distance = "euclidean",
) -> Tensor:
    """Return the codewords of `codes`; the gradient goes through a softmax over all codewords.

    ::

        q = y E      y = onehot(code) + p - sg(p)      p = softmax(s / T)
        s_k = z.e_k for "cosine"                       s_k = z.e_k - |e_k|^2 / 2 for "euclidean"

    so that the nearest codeword always has the largest score. Forward: E[codes], bit for bit.
    Backward: z gets the gradient of the scores alone, every codeword gets that of its score, and
    the chosen one the gradient of the value. Memory stays below 64 MiB beside the gradients.

    Args:
        z: (N, D) vectors, for "cosine" of norm 1.
        codebook: (K, D) codewords, for "cosine" of norm 1.
        codes: (N,) int64.
        temperature: T > 0.
        distance: which scores belong to the codes.

    Returns:
        (N, D).

    Raises:
        ShapeError: shapes, dtypes or devices do not fit.
        OptionError: `temperature` is not positive, or `distance` is unknown.

    Example:
        >>> book = torch.eye(3, requires_grad=True)
        >>> index_backpropagation(torch.eye(3)[:1], book, torch.tensor([0])).sum().backward()
        >>> book.grad.shape
        torch.Size([3, 3])

    Source:
        Shi et al. 2025, "Scalable Image Tokenization with Index Backpropagation Quantization",
        arXiv:2412.02692, section 3.2. We deviate for "euclidean": there the code is the nearest
        codeword, not that of the largest product.
    """
    check_distance(distance)
    check_temperature(temperature, zero=False)
    check_vectors(z, codebook)
    if z.dim() != 2 or codes.shape != z.shape[:1]:
        raise ShapeError(
            f"z and codes: expected shapes (N, D) and (N,), got {tuple(z.shape)} and "
            f"{tuple(codes.shape)}; flatten the batch"
        )
    if distance == "euclidean":
        bias = codebook.square().sum(-1) / -2
    else:
        bias = codebook.new_zeros(len(codebook))
    if transforming():
        return _composed(z, codebook, bias, codes, temperature)[0]
    return _look_up(z, codebook, bias, codes, float(temperature))
