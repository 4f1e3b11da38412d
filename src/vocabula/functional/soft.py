"""Entropies of the soft assignment of vectors to codewords, without an (N, K) tensor.

p(k|z) = softmax_k(-d_k² / T) is computed block by block, reduced to a row entropy and a column sum,
and computed again in the backward pass.
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
    amount,
    at_least_some,
    check_counts,
    check_distance,
    check_mask,
    check_temperature,
    check_vectors,
    counted,
    rows_per_block,
    working_dtype,
)
from vocabula.functional.distributed import all_reduce_sum, all_reduce_sum_grad
from vocabula.functional.modes import differentiable_gradient, transforming, without_autocast
from vocabula.functional.statistics import entropy, masked_row_mean

__all__ = ["soft_assignment_entropies"]


def _log_probabilities(z: Tensor, codebook: Tensor, temperature: Tensor) -> Tensor:
    """Return (rows, K) log p(k|z); |z|² is the same for all k and left out."""
    half_square = codebook.square().sum(-1) / 2
    logits = torch.addmm(half_square, z, codebook.t(), alpha=-1).mul_(-2 / temperature)
    return logits.log_softmax(-1)


def _composed(
    z: Tensor, codebook: Tensor, mask: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """The result of `_soft_assignment`, in operations that every transform knows; (N, K) memory."""
    logits = (z @ codebook.t() - codebook.square().sum(-1) / 2) * (2 / temperature)
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    return -(p * log_p).sum(-1), mask.to(p.dtype) @ p


@torch.library.custom_op(
    "vocabula::soft_assignment",
    mutates_args=(),
    schema="(Tensor z, Tensor codebook, Tensor mask, Tensor temperature) -> (Tensor, Tensor)",
)
def _soft_assignment(
    z: Tensor, codebook: Tensor, mask: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (N,) entropies H(p(·|z_n)) and (K,) sums of p(k|z_n) over the mask."""
    entropies = z.new_empty(z.shape[0])
    total = z.new_zeros(codebook.shape[0])
    step = rows_per_block(max(codebook.shape), TILE // 2)
    with without_autocast(z.device):
        for start in range(0, z.shape[0], step):
            block = slice(start, start + step)
            log_p = _log_probabilities(z[block], codebook, temperature)
            p = log_p.exp()
            total += mask[block].to(p.dtype) @ p
            entropies[block] = -(p * log_p).sum(-1)
    return entropies, total


@torch.library.custom_op(
    "vocabula::soft_assignment_backward",
    mutates_args=(),
    schema=(
        "(Tensor grad_entropies, Tensor grad_total, Tensor z, Tensor codebook, Tensor mask, "
        "Tensor temperature) -> (Tensor, Tensor)"
    ),
)
def _soft_assignment_backward(
    grad_entropies: Tensor,
    grad_total: Tensor,
    z: Tensor,
    codebook: Tensor,
    mask: Tensor,
    temperature: Tensor,
) -> tuple[Tensor, Tensor]:
    grad_z = torch.empty_like(z, memory_format=torch.contiguous_format)
    grad_codebook = torch.zeros_like(codebook, memory_format=torch.contiguous_format)
    step = rows_per_block(max(codebook.shape), TILE // 2)
    with without_autocast(z.device):
        for start in range(0, z.shape[0], step):
            block = slice(start, start + step)
            log_p = _log_probabilities(z[block], codebook, temperature)
            p = log_p.exp()
            # dH/dp = -(log p + 1) and dΣp/dp = 1 go through the softmax: p (g - Σ p g).
            grad_p = mask[block].to(p.dtype).unsqueeze(-1) * grad_total
            grad_p -= grad_entropies[block].unsqueeze(-1) * log_p
            grad_logits = p * (grad_p - (p * grad_p).sum(-1, keepdim=True))
            # logit = -|z - e|²/T; its rows sum to 0, so z's own term drops out of grad_z.
            grad_z[block] = grad_logits @ codebook
            grad_codebook.addmm_(grad_logits.t(), z[block])
            grad_codebook -= grad_logits.sum(0).unsqueeze(-1) * codebook
    factor = 2 / temperature
    return grad_z.mul_(factor), grad_codebook.mul_(factor)


@_soft_assignment.register_fake
def _(z: Tensor, codebook: Tensor, mask: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape[0]), z.new_empty(codebook.shape[0])


@_soft_assignment_backward.register_fake
def _(
    grad_entropies: Tensor,
    grad_total: Tensor,
    z: Tensor,
    codebook: Tensor,
    mask: Tensor,
    temperature: Tensor,
) -> tuple[Tensor, Tensor]:
    contiguous = torch.contiguous_format
    return (
        torch.empty_like(z, memory_format=contiguous),
        torch.empty_like(codebook, memory_format=contiguous),
    )


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(
    ctx: Any, grad_entropies: Tensor, grad_total: Tensor
) -> tuple[Tensor | None, Tensor | None, None, None]:
    grads = (grad_entropies.contiguous(), grad_total.contiguous())
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        needed = (*ctx.needs_input_grad[:2], False, False)
        to_z, to_book, *_ = differentiable_gradient(_composed, ctx.saved_tensors, needed, grads)
        return to_z, to_book, None, None
    return *_soft_assignment_backward(*grads, *ctx.saved_tensors), None, None


_soft_assignment.register_autograd(_gradient, setup_context=_keep)


def soft_assignment_entropies(
    z: Tensor,
    codebook: Tensor,
    *,
    temperature: float | Tensor,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    distance: Distance = "euclidean",
) -> tuple[Tensor, Tensor]:
    """Return the entropies of the soft assignment p(k|z) = softmax_k(-d_k² / T), in nats.

        sample = mean_n H(p(·|z_n)),     batch = H(mean_n p(·|z_n)).

    A low `sample` means confident assignments; a high `batch` means that all codewords are used.
    Memory stays below 64 MiB (while one row of K does) in both passes. Gradients flow to both
    arguments.

    In a process group, `batch` is the entropy of the joined batch, and the mean of `sample` over
    ranks is that of the joined batch; every rank must call this, even with an empty batch or mask.

    Args:
        z: (N, D) vectors; masked rows may hold anything.
        codebook: (K, D) codewords.
        temperature: T > 0, in units of squared distance: a number, or a tensor (), which is not
            checked and gets no gradient.
        mask: (N,) bool, true where a row counts; None counts all.
        weights: (N,) floating point, not negative, in place of a mask.
        distance: d² is |z - e|², or for "cosine" |z/|z| - e/|e||² = 2 - 2 cos.

    Returns:
        sample and batch, each (), float64 if an argument is and float32 else; zeros, with a graph,
        where no row counts.

    Raises:
        ShapeError: shapes, dtypes or devices do not fit.
        OptionError: `temperature` is not positive, or `distance` is unknown.

    Example:
        >>> book = torch.tensor([[-1.0], [1.0]])
        >>> sample, batch = soft_assignment_entropies(book, book, temperature=0.1)
        >>> bool(sample < 1e-6), batch
        (True, tensor(0.6931))

    Source:
        The entropy penalty of Chang et al. 2022, "MaskGIT" (public code) and Yu et al. 2023, eq. 6.
    """
    check_distance(distance)
    if not isinstance(temperature, Tensor):
        check_temperature(temperature, zero=False)
    check_vectors(z, codebook)
    if z.dim() != 2:
        raise ShapeError(f"z: expected shape (N, D), got {tuple(z.shape)}; flatten the batch")
    check_mask(mask, z.shape[:1], "the rows of z")
    check_counts(weights, z.shape[:1], "the rows of z")
    mask = mask if weights is None else weights
    if mask is None:
        mask = torch.ones(z.shape[:1], dtype=torch.bool, device=z.device)
    dtype = working_dtype(z, codebook)
    z = torch.where(counted(mask).unsqueeze(-1), z, 0.0).to(dtype)
    codebook = codebook.to(dtype)
    if distance == "cosine":
        z, codebook = F.normalize(z, dim=-1), F.normalize(codebook, dim=-1)
    # About the codebook's mean, in float64, so that an offset of the data costs no digits.
    center = codebook.detach().double().mean(0)
    z = (z.double() - center).to(dtype)
    codebook = (codebook.double() - center).to(dtype)
    heat = torch.as_tensor(temperature, dtype=dtype, device=z.device).detach()
    assign = _composed if transforming() else _soft_assignment
    entropies, total = assign(z, codebook, mask, heat)
    rows = at_least_some(all_reduce_sum(amount(mask)))
    batch = entropy(all_reduce_sum_grad(total).double() / rows).to(dtype)
    return masked_row_mean(entropies, mask), batch
