"""Reductions over the ranks of a process group, and the identity where there is none.

Whether a group exists is looked up at every call and never remembered, so a module that was built,
or compiled, before ``init_process_group`` synchronises from its first step in the group. Under
``torch.compile`` the reductions are opaque operators: the same graph serves with and without a
group. Every rank must call every reduction: a rank without vectors contributes zeros.

The joined batch of W ranks has item i of rank r as its item i W + r, as data loaders deal items to
ranks in turn::

    rank 0:  a c e        joined:  a b c d e
    rank 1:  b d
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "all_gather_rows",
    "all_gather_sizes",
    "all_reduce_max",
    "all_reduce_mean",
    "all_reduce_sum",
    "all_reduce_sum_grad",
    "alone",
    "broadcast",
    "item_parts",
    "item_rows",
    "items",
    "joined_order",
    "parts",
    "rank",
    "world_size",
]


_apart = 0  # for the whole process, as a backward pass may run in other threads


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process reduces over itself alone, even if it belongs to a group.

    This is for work that only one rank does.
    """
    global _apart
    _apart += 1
    try:
        yield
    finally:
        _apart -= 1


_items = 0  # of the batch that is being quantized, 0 outside of one


@contextmanager
def items(count: int) -> Iterator[None]:
    """Within the block, rows come from `count` items, each with equally many neighbouring rows.

    A block inside of another changes nothing: the outer one knows what an item is.
    """
    global _items
    before = _items
    _items = before or count
    try:
        yield
    finally:
        _items = before


def item_rows(rows: int) -> int:
    """Return how many of `rows` belong to one item, 1 outside of a block of `items`."""
    return rows // _items if _items and rows % _items == 0 else 1


_parts: tuple[int, ...] = ()  # rows of an item in each part of the rows, () outside of a block


@contextmanager
def parts(sizes: Sequence[int]) -> Iterator[None]:
    """Within the block rows come in parts: for part i, `sizes[i]` rows of each item in turn.

    The rows of all parts of an item are then no neighbours, unlike those of `items`.
    """
    global _parts
    before = _parts
    _parts = tuple(sizes)
    try:
        yield
    finally:
        _parts = before


def item_parts(rows: int) -> list[int]:
    """Return how many of `rows` belong to one item, in each of their parts."""
    return list(_parts) or [item_rows(rows)]


def _grouped() -> bool:
    return not _apart and dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    """Return this process's rank, 0 without a process group."""
    return dist.get_rank() if _grouped() else 0


@torch.library.custom_op(
    "vocabula::all_reduce_sum", mutates_args=(), schema="(Tensor tensor) -> Tensor"
)
def _all_reduce_sum(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        dist.all_reduce(total)
    return total


@torch.library.custom_op(
    "vocabula::all_reduce_max", mutates_args=(), schema="(Tensor tensor) -> Tensor"
)
def _all_reduce_max(tensor: Tensor) -> Tensor:
    largest = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


@torch.library.custom_op(
    "vocabula::times_world_size", mutates_args=(), schema="(Tensor tensor) -> Tensor"
)
def _times_world_size(tensor: Tensor) -> Tensor:
    return tensor * world_size()


@torch.library.custom_op("vocabula::broadcast", mutates_args=(), schema="(Tensor tensor) -> Tensor")
def _broadcast(tensor: Tensor) -> Tensor:
    result = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        dist.broadcast(result, src=0)
    return result


def joined_order(rows: Tensor, item_rows: Tensor) -> Tensor:
    """Return the order (sum of N,) that turns rows in order of rank into those of the joined batch.

    Args:
        rows: (W,) int64, N of each rank.
        item_rows: (W, parts) int64 >= 1, rows of an item of each rank in each part of its rows.
    """
    every = list(zip(rows.tolist(), item_rows.tolist(), strict=True))
    counts = [n // sum(sizes) for n, sizes in every]
    place = [
        torch.arange(count * size, device=rows.device) // size + part * max(counts)
        for count, (_, sizes) in zip(counts, every, strict=True)
        for part, size in enumerate(sizes)
    ]
    return torch.cat(place).argsort(stable=True)


def all_gather_sizes(
    rows: int, item_rows: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the numbers of rows (W,) and of rows of an item (W, parts) of all ranks, int64."""
    own = torch.tensor([rows, *(max(1, size) for size in item_rows)], device=device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    every = torch.stack(sizes)
    return every[:, 0], every[:, 1:]


@torch.library.custom_op(
    "vocabula::all_gather_rows",
    mutates_args=(),
    schema="(Tensor tensor, SymInt[] item_rows) -> Tensor",
)
def _all_gather_rows(tensor: Tensor, item_rows: Sequence[int]) -> Tensor:
    tensor = tensor.detach().contiguous()
    if world_size() == 1:
        return tensor.clone()
    rows, size = all_gather_sizes(tensor.shape[0], item_rows or [1], tensor.device)
    counts = rows.tolist()
    # Collectives need equal shapes: pad every rank to the longest, cut afterwards.
    padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
    padded[: tensor.shape[0]] = tensor
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    by_rank = torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])
    return by_rank[joined_order(rows, size)] if item_rows else by_rank


def _same_shape(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


_all_reduce_sum.register_fake(_same_shape)
_all_reduce_max.register_fake(_same_shape)
_times_world_size.register_fake(_same_shape)
_broadcast.register_fake(_same_shape)


@_all_gather_rows.register_fake
def _(tensor: Tensor, item_rows: Sequence[int]) -> Tensor:
    rows = torch.library.get_ctx().new_dynamic_size()
    return tensor.new_empty((rows, *tensor.shape[1:]))


def _all_reduce_backward(ctx: Any, grad: Tensor) -> Tensor:
    return _times_world_size(grad)


_all_reduce_sum.register_autograd(_all_reduce_backward)


def _alone() -> bool:
    return not torch.compiler.is_compiling() and world_size() == 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over all ranks; no gradient flows.

    Args:
        tensor: (...), the same shape and dtype on every rank; it is not changed.

    Returns:
        (...), a view of `tensor` where there is no process group.
    """
    return tensor.detach() if _alone() else _all_reduce_sum(tensor.detach())


def all_reduce_max(tensor: Tensor) -> Tensor:
    """Return the elementwise maximum of `tensor` over all ranks; no gradient flows.

    Args:
        tensor: (...), the same shape and dtype on every rank; it is not changed.

    Returns:
        (...), a view of `tensor` where there is no process group.
    """
    return tensor.detach() if _alone() else _all_reduce_max(tensor.detach())


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """Return the mean of `tensor` over all ranks; no gradient flows.

    Args:
        tensor: (...) floating point, the same shape on every rank; it is not changed.

    Returns:
        (...), a view of `tensor` where there is no process group.
    """
    return tensor.detach() if _alone() else all_reduce_sum(tensor) / world_size()


def all_reduce_sum_grad(tensor: Tensor) -> Tensor:
    """Return the differentiable sum of `tensor` over all ranks.

    With y = Σ_r x_r(w) and the same loss L(y) on every rank, dL/dw = Σ_r L'(y) dx_r/dw. Each rank
    can only add its own term, and DistributedDataParallel then divides the sum over ranks by their
    number W. The backward pass therefore multiplies by W, and after the average the gradient is
    that of one process on the joined batch. It needs no collective, because y, and so L'(y), is the
    same on every rank.

    Args:
        tensor: (...), the same shape and dtype on every rank.

    Returns:
        (...), `tensor` itself where there is no process group.
    """
    return tensor if _alone() else _all_reduce_sum(tensor)


def broadcast(tensor: Tensor) -> Tensor:
    """Return rank 0's `tensor` on every rank; no gradient flows.

    Args:
        tensor: (...), the same shape and dtype on every rank; it is not changed.

    Returns:
        (...), a view of `tensor` where there is no process group.
    """
    return tensor.detach() if _alone() else _broadcast(tensor.detach())


def all_gather_rows(tensor: Tensor, *, item_rows: Sequence[int] = ()) -> Tensor:
    """Return the rows of all ranks; no gradient flows.

    Args:
        tensor: (N, ...), where N may differ between ranks and be 0.
        item_rows: rows of each item of this rank's batch, in each part of the rows; then the rows
            come in the order of the joined batch. () on every rank for the order of rank.

    Returns:
        (sum of N, ...), the same on every rank; a view of `tensor` where there is no group.
    """
    return tensor.detach() if world_size() == 1 else _all_gather_rows(tensor.detach(), item_rows)
