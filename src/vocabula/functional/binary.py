"""Exact entropies of binary codebooks, whose 2^bits codewords are never listed per vector.

The codewords are the corners c in {-s, +s}^bits. A softmax over all of them factorises into bits:

    p(j|z) = softmax_j(2 τ z·c_j) = Π_i σ(4 τ s z_i)^(b_ij) σ(-4 τ s z_i)^(1 - b_ij),

so that the entropy of p(·|z) is a sum of binary entropies, and the batch's mean distribution is one
matrix product: with the bits split into a left and a right half, mean_n p(j|z_n) = (Lᵀ R)_j / N for
L (N, 2^left) and R (N, 2^right). At 18 bits L and R have 512 columns where p has 262,144.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vocabula.errors import OptionError, ShapeError
from vocabula.functional._checks import (
    TILE,
    amount,
    at_least_some,
    check_counts,
    check_floating,
    check_mask,
    counted,
    rows_per_block,
    working_dtype,
)
from vocabula.functional.distributed import all_reduce_sum, all_reduce_sum_grad
from vocabula.functional.modes import differentiable_gradient, transforming, without_autocast
from vocabula.functional.statistics import entropy, masked_row_mean

__all__ = ["binary_entropies"]

#: The joint distribution of one book is a tensor of 2^bits: 64 MiB at 24 bits.
_MAX_BITS = 24

#: Beyond this both a binary entropy and its gradient are 0 in float64 too (σ(-1000) underflows).
_LARGEST_LOGIT = 1e3


def joint_probabilities(logits: Tensor) -> Tensor:
    """Return (2^bits, rows) probabilities of (bits, rows) logits, the most significant bit first.

    Rows come last: every step then multiplies long contiguous runs.
    """
    joint = torch.ones_like(logits[:0]).sum(0, keepdim=True) + 1.0
    pairs = torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], 1)
    for pair in pairs.unbind(0):
        joint = (joint.unsqueeze(1) * pair).flatten(0, 1)
    return joint


def _bit_table(bits: int, like: Tensor) -> Tensor:
    """Return the (bits, 2^bits) digits of 0, 1, 2, ..., most significant bit first."""
    codes = torch.arange(2**bits, device=like.device)
    shifts = torch.arange(bits - 1, -1, -1, device=like.device)
    return ((codes >> shifts.unsqueeze(-1)) & 1).to(like.dtype)


def _logit_gradient(grad: Tensor, joint: Tensor, logits: Tensor, table: Tensor) -> Tensor:
    """Go back through `joint_probabilities` to (bits, rows): dp_j/dl_i = p_j (b_ij - σ(l_i))."""
    weights = grad.mul_(joint)
    # As (1 - σ) Σ_{b=1} - σ Σ_{b=0}: each small factor multiplies its own sum, nothing cancels.
    ones = table @ weights
    zeros = (1 - table) @ weights
    return torch.sigmoid(-logits) * ones - torch.sigmoid(logits) * zeros


def _row_blocks(rows: int, bits: int) -> list[slice]:
    left = bits // 2
    step = rows_per_block(2**left + 2 ** (bits - left), 2 * TILE)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _composed(logits: Tensor, mask: Tensor) -> Tensor:
    """The result of `_binary_joint`, in operations that every transform knows."""
    left, books = logits.shape[2] // 2, []
    for part in logits.permute(1, 2, 0).unbind():
        books.append(
            (joint_probabilities(part[:left]) * mask) @ joint_probabilities(part[left:]).t()
        )
    return torch.stack(books)


@torch.library.custom_op(
    "vocabula::binary_joint",
    mutates_args=(),
    schema="(Tensor logits, Tensor mask) -> Tensor",
)
def _binary_joint(logits: Tensor, mask: Tensor) -> Tensor:
    """Sum p(·|z_n) over the rows of the mask: (N, books, bits) -> (books, 2^left, 2^right)."""
    rows, books, bits = logits.shape
    left = bits // 2
    joint = logits.new_zeros((books, 2**left, 2 ** (bits - left)))
    with without_autocast(logits.device):
        for book in range(books):
            for block in _row_blocks(rows, bits):
                part = logits[block, book].t().contiguous()
                lefts = joint_probabilities(part[:left]) * mask[block]
                joint[book].addmm_(lefts, joint_probabilities(part[left:]).t())
    return joint


@torch.library.custom_op(
    "vocabula::binary_joint_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor logits, Tensor mask) -> Tensor",
)
def _binary_joint_backward(grad: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    rows, books, bits = logits.shape
    left = bits // 2
    left_table, right_table = _bit_table(left, logits), _bit_table(bits - left, logits)
    result = torch.zeros_like(logits, memory_format=torch.contiguous_format)
    with without_autocast(logits.device):
        for book in range(books):
            for block in _row_blocks(rows, bits):
                part = logits[block, book].t().contiguous()
                lefts = joint_probabilities(part[:left]) * mask[block]
                rights = joint_probabilities(part[left:])
                to_left, to_right = grad[book] @ rights, grad[book].t() @ lefts
                result[block, book] = torch.cat(
                    [
                        _logit_gradient(to_left, lefts, part[:left], left_table),
                        _logit_gradient(to_right, rights, part[left:], right_table),
                    ]
                ).t()
    return result


@_binary_joint.register_fake
def _(logits: Tensor, mask: Tensor) -> Tensor:
    _, books, bits = logits.shape
    return logits.new_empty((books, 2 ** (bits // 2), 2 ** (bits - bits // 2)))


@_binary_joint_backward.register_fake
def _(grad: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _joint_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
    logits, mask, joint = ctx.saved_tensors
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        formula = (lambda *inputs: (_composed(*inputs),), (logits, mask), (True, False), (grad,))
        return differentiable_gradient(*formula)[0], None
    # A constant gradient moves nothing, as Σ p = 1: without its p-weighted mean less must cancel.
    weight = joint.sum((-2, -1), keepdim=True).clamp_min(torch.finfo(joint.dtype).tiny)
    grad = grad - (grad * joint).sum((-2, -1), keepdim=True) / weight
    return _binary_joint_backward(grad.contiguous(), logits, mask), None


_binary_joint.register_autograd(_joint_gradient, setup_context=_keep)


def binary_entropy(logits: Tensor) -> Tensor:
    """Return H(σ(l)) in nats, elementwise, without rounding σ(l) to 1."""
    size = logits.abs()
    return size * torch.sigmoid(-size) - F.logsigmoid(size)


def _check(z: Tensor, scale: float, inverse_temperature: float, mask: Tensor | None) -> None:
    check_floating("z", z)
    if z.dim() != 3:
        raise ShapeError(
            f"z: expected shape (N, books, bits), got {tuple(z.shape)}; reshape the batch"
        )
    check_mask(mask, z.shape[:1], "the rows of z")
    if not 1 <= z.shape[2] <= _MAX_BITS:
        raise OptionError(
            f"bits: expected 1 to {_MAX_BITS} in a book for the exact batch entropy, "
            f"got {z.shape[2]}; use several books"
        )
    for name, value in (("scale", scale), ("inverse_temperature", inverse_temperature)):
        if not value > 0:
            raise OptionError(f"{name}: expected a number > 0, got {value}; use 1.0")


def binary_entropies(
    z: Tensor,
    *,
    scale: float,
    inverse_temperature: float,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the entropies of the soft assignment to binary codewords, per book, in nats.

    With p(j|z) = softmax_j(2 τ z·c_j), c in {-s, +s}^bits:

        sample = mean_n H(p(·|z_n)),     batch = H(mean_n p(·|z_n)).

    Both are exact, no constant is added to a probability, and differentiable everywhere. Memory
    holds 2^bits numbers and blocks of N rows by 2^(bits/2).

    In a process group, `batch` is the entropy of the joined batch, and the mean of `sample` over
    ranks is that of the joined batch; every rank must call this, even with an empty batch or mask.

    Args:
        z: (N, books, bits), before binarisation; 1 <= bits <= 24. Masked rows may hold anything.
        scale: s > 0, the magnitude of a codeword's coordinates.
        inverse_temperature: τ > 0, per unit of z·c.
        mask: (N,) bool, true where a row counts; None counts all.
        weights: (N,) floating point, not negative, in place of a mask.

    Returns:
        sample and batch, each (books,), float64 for float64 z and float32 else; zeros, with a
        graph, where no row counts.

    Raises:
        ShapeError: `z` or `mask` has a wrong shape or dtype.
        OptionError: bits, `scale` or `inverse_temperature` is out of range.

    Example:
        >>> sample, batch = binary_entropies(
        ...     torch.tensor([[[9.0]], [[-9.0]]]), scale=1.0, inverse_temperature=100.0)
        >>> sample, batch
        (tensor([0.]), tensor([0.6931]))

    Source:
        Yu et al. 2023, "Language model beats diffusion", eq. 5 and 6 (LFQ); the factorisation is
        theirs for the sample term and ours for the batch term.
    """
    _check(z, scale, inverse_temperature, mask)
    check_counts(weights, z.shape[:1], "the rows of z")
    mask = mask if weights is None else weights
    if mask is None:
        mask = torch.ones(z.shape[:1], dtype=torch.bool, device=z.device)
    z = torch.where(counted(mask).reshape(-1, 1, 1), z, 0.0).to(working_dtype(z))
    weighted = mask.is_floating_point()
    mask = mask.to(z.dtype) if weighted else mask
    logits = (4 * inverse_temperature * scale * z).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    sample = masked_row_mean(binary_entropy(logits).sum(-1), mask)
    # The GPU's kernel takes masks only.
    count = _composed if transforming() or (weighted and not z.is_cpu) else _binary_joint
    joint = all_reduce_sum_grad(count(logits, mask)).flatten(1)
    rows = at_least_some(all_reduce_sum(amount(mask)))
    # Float64: 2^18 terms of 12.5 nats in all, to seven digits; it costs 2 MB.
    batch = entropy(joint.double() / rows).to(z.dtype)
    return sample, batch
