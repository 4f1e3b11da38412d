"""The joint distribution of binary codes on a GPU; see `vocabula.functional.binary`.

    logits (N, bits) ──▶ L (N, 2^left), R (N, 2^right), made in registers ──▶ Lᵀ R (2^left, 2^right)

A tile of probabilities is itself an outer product, of the last three bits and of the rest: one
multiplication an element, and each element serves up to 128 products. The torch version writes and
reads two tables of N x 512 at 18 bits, which are never in memory here.
"""

# The arguments of a kernel are pointers and tiles, which have no types to name.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["binary_joint", "binary_joint_backward"]


@triton.jit
def _half(logits, known, first, BITS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Return (BM, BN) probabilities of the codes from `first` on, most significant bit first.

    Rows outside `known` and codes beyond 2^BITS hold meaningless numbers.
    """
    LOW: tl.constexpr = 8
    HIGH: tl.constexpr = BN // LOW
    low_code = tl.arange(0, LOW)
    high_code = tl.arange(0, HIGH)
    low = tl.full((BM, LOW), 1.0, tl.float32)
    high = tl.full((BM, HIGH), 1.0, tl.float32)
    for bit in tl.static_range(BITS):
        logit = tl.load(logits + bit, mask=known, other=0.0)
        one = 1.0 / (1.0 + tl.exp(-logit))
        # Not 1 - one, which would round a small probability to zero.
        zero = 1.0 / (1.0 + tl.exp(logit))
        if (1 << (BITS - 1 - bit)) < LOW:
            digit = (low_code >> (BITS - 1 - bit)) & 1
            low *= tl.where((digit == 1)[None, :], one[:, None], zero[:, None])
        else:
            # The bits above those of the tile are the same for all its columns.
            digit = ((first // LOW + high_code) >> (BITS - 1 - bit - 3)) & 1
            high *= tl.where((digit == 1)[None, :], one[:, None], zero[:, None])
    return tl.reshape(high[:, :, None] * low[:, None, :], (BM, BN))


@triton.jit(do_not_specialize=["rows", "split_rows"])
def _joint(
    logits,
    mask,
    partial,
    rows,
    books,
    split_rows,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BL: tl.constexpr,
    BR: tl.constexpr,
):
    tiles: tl.constexpr = ((1 << RIGHT) + BR - 1) // BR
    first_left = tl.program_id(0) // tiles * BL
    first_right = tl.program_id(0) % tiles * BR
    split, book = tl.program_id(1), tl.program_id(2)
    joint = tl.zeros((BL, BR), tl.float32)
    first = split.to(tl.int64) * split_rows
    for start in range(0, split_rows, BM):
        row = first + start + tl.arange(0, BM)
        known = row < rows
        known = known & (tl.load(mask + row, mask=known, other=0) != 0)
        at = logits + (row * books + book) * (LEFT + RIGHT)
        left = _half(at, known, first_left, LEFT, BM, BL)
        left = tl.where(known[:, None], left, 0.0)
        right = _half(at + LEFT, known, first_right, RIGHT, BM, BR)
        joint = tl.dot(tl.trans(left), right, joint, input_precision=PRECISION)
    left_code = first_left + tl.arange(0, BL)
    right_code = first_right + tl.arange(0, BR)
    at = partial + ((split * books + book).to(tl.int64) << (LEFT + RIGHT))
    at += left_code.to(tl.int64)[:, None] * (1 << RIGHT) + right_code[None, :]
    inside = (left_code < (1 << LEFT))[:, None] & (right_code < (1 << RIGHT))[None, :]
    tl.store(at, joint, mask=inside)


@triton.jit(do_not_specialize=["rows"])
def _joint_gradient(
    grad,
    logits,
    mask,
    result,
    rows,
    books,
    own_first,
    other_first,
    own_stride,
    other_stride,
    OWN: tl.constexpr,
    OTHER: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Write the gradient of the OWN bits of a block of rows, given the OTHER ones.

    With the other half O and A = O G, dp_j/dl_i = p_j (b_ij - σ(l_i)) gives
    σ(-l_i) Σ_{b_ij=1} p_j A_j - σ(l_i) Σ_{b_ij=0} p_j A_j: each small factor multiplies its own
    sum, nothing cancels.
    """
    book = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    known = row < rows
    known = known & (tl.load(mask + row, mask=known, other=0) != 0)
    place = (row * books + book) * (OWN + OTHER)
    grad += book.to(tl.int64) << (OWN + OTHER)
    bit = tl.arange(0, 16)
    ones = tl.zeros((BM, 16), tl.float32)
    zeros = tl.zeros((BM, 16), tl.float32)
    for own in range(0, 1 << OWN, BN):
        own_code = own + tl.arange(0, BN)
        inside = own_code < (1 << OWN)
        weight = tl.zeros((BM, BN), tl.float32)
        for other in range(0, 1 << OTHER, BK):
            other_code = other + tl.arange(0, BK)
            at = grad + other_code.to(tl.int64)[:, None] * other_stride
            at += own_code.to(tl.int64)[None, :] * own_stride
            present = (other_code < (1 << OTHER))[:, None] & inside[None, :]
            g = tl.load(at, mask=present, other=0.0)
            half = _half(logits + place + other_first, known, other, OTHER, BM, BK)
            weight = tl.dot(half, g, weight, input_precision=PRECISION)
        weight *= _half(logits + place + own_first, known, own, OWN, BM, BN)
        digit = ((own_code[:, None] >> (OWN - 1 - bit % OWN)[None, :]) & 1).to(tl.float32)
        ones = tl.dot(weight, digit, ones, input_precision=PRECISION)
        zeros = tl.dot(weight, 1.0 - digit, zeros, input_precision=PRECISION)
    inside = (row < rows)[:, None] & (bit < OWN)[None, :]
    at = place[:, None] + own_first + bit[None, :]
    logit = tl.load(logits + at, mask=inside & known[:, None], other=0.0)
    value = ones / (1.0 + tl.exp(logit)) - zeros / (1.0 + tl.exp(-logit))
    tl.store(result + at, tl.where(known[:, None], value, 0.0), mask=inside)


def _precision() -> str:
    """Return what `torch.get_float32_matmul_precision` allows, as for torch's own products."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def _block(bits: int, precision: str) -> int:
    """Return the columns of a tile of 2^bits: at least what a product needs, at most what fits."""
    return min(64 if precision == "ieee" else 128, max(16, 1 << bits))


def binary_joint(logits: Tensor, mask: Tensor) -> Tensor:
    """Sum p(·|z_n) over the rows of the mask, as `vocabula::binary_joint`.

    The rows are split between programs where the tiles of one book do not fill the device; the
    parts are then added in one order, so that a result repeats bit for bit.

    Args:
        logits: (N, books, bits) float32, 4 τ s z.
        mask: (N,) bool.

    Returns:
        (books, 2^left, 2^right) float32, left = bits // 2.
    """
    rows, books, bits = logits.shape
    left = bits // 2
    right = bits - left
    if rows == 0 or books == 0:
        return logits.new_zeros((books, 2**left, 2**right))
    precision = _precision()
    tall, wide = _block(left, precision), _block(right, precision)
    tiles = triton.cdiv(1 << left, tall) * triton.cdiv(1 << right, wide)
    # About two programs for each of 132 multiprocessors; a program takes 256 rows at least.
    splits = max(1, min(264 // (tiles * books), triton.cdiv(rows, 256)))
    split_rows = triton.cdiv(triton.cdiv(rows, splits), 32) * 32
    splits = triton.cdiv(rows, split_rows)
    partial = logits.new_empty((splits, books, 2**left, 2**right))
    with torch.cuda.device_of(logits):
        _joint[(tiles, splits, books)](
            logits.contiguous(),
            mask.contiguous().view(torch.uint8),
            partial,
            rows,
            books,
            split_rows,
            LEFT=left,
            RIGHT=right,
            PRECISION=precision,
            BM=16 if precision == "ieee" else 32,
            BL=tall,
            BR=wide,
            num_warps=8 if tall == 128 else 4,
            num_stages=2,
        )
    return partial[0] if splits == 1 else partial.sum(0)


def binary_joint_backward(grad: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of the logits, as `vocabula::binary_joint_backward`.

    Args:
        grad: (books, 2^left, 2^right) float32.
        logits: (N, books, bits) float32.
        mask: (N,) bool.

    Returns:
        (N, books, bits) float32, zero outside the mask.
    """
    rows, books, bits = logits.shape
    left = bits // 2
    right = bits - left
    result = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if rows == 0 or books == 0:
        return result
    logits, grad = logits.contiguous(), grad.contiguous()
    flags, precision = mask.contiguous().view(torch.uint8), _precision()
    block = 32 if precision == "ieee" else 64
    sides = [(left, right, 0, left, 2**right, 1), (right, left, left, 0, 1, 2**right)]
    with torch.cuda.device_of(logits):
        for own, other, own_first, other_first, own_stride, other_stride in sides:
            if own == 0:
                continue
            _joint_gradient[(triton.cdiv(rows, block), books)](
                *(grad, logits, flags, result, rows, books),
                *(own_first, other_first, own_stride, other_stride),
                OWN=own,
                OTHER=other,
                PRECISION=precision,
                BM=block,
                BN=32,
                BK=16,
                num_warps=4,
                num_stages=2,
            )
    return result
