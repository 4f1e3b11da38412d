"""Support for torch's modes: transforms, tracing, devices without data, autocast.

The compiled kernels and the opaque operators accept only plain tensors. Under a transform the same
formulas run in torch operations, searches fold vmap's dimension into their rows, and a check of
values looks at the tensor under the wrappers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

__all__ = ["differentiable_gradient", "fold_rows", "readable", "transforming", "without_autocast"]

Formula = Callable[..., tuple[Tensor, ...]]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a product keeps the dtype of its operands."""
    if device.type == "meta":
        return nullcontext()
    if torch.compiler.is_compiling() or torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def transforming() -> bool:
    """Return whether a transform of torch.func or forward-mode differentiation is under way."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def readable(tensor: Tensor) -> Tensor | None:
    """Return the tensor whose values can be read: `tensor`, or the one that torch.func wraps.

    Returns:
        None if there are no values: in a graph being traced, and on the meta device.
    """
    if torch.compiler.is_compiling():
        return None
    while is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    return None if tensor.is_meta or isinstance(tensor, FakeTensor) else tensor


def differentiable_gradient(
    formula: Formula,
    inputs: tuple[Tensor, ...],
    needed: tuple[bool, ...],
    grads: tuple[Tensor, ...],
) -> list[Tensor | None]:
    """Return the gradients of `formula` to its inputs, with a graph to differentiate again.

    It is for the backward pass of an opaque operator, whose own gradient has no graph.

    Args:
        formula: the operator in torch operations.
        inputs: its arguments.
        needed: which of them need a gradient.
        grads: the gradients of its results.
    """
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
    found = iter(torch.autograd.grad(formula(*inputs), wanted, grads, create_graph=True))
    return [next(found) if need else None for need in needed]


def fold_rows(operator: Callable[..., Tensor], info: Any, in_dims: Any, *inputs: Any) -> Any:
    """Apply an operator under vmap that treats the rows of its first argument one by one.

    Args:
        operator: (rows (N, ...), *others) to one result (N, ...).
        info: vmap's own.
        in_dims: the dimension of each argument that vmap maps over, or None.
        inputs: the arguments.

    Returns:
        The result, and 0, the dimension that is mapped.
    """
    first, *others = in_dims
    if first is not None and all(dim is None for dim in others):
        rows = inputs[0].movedim(first, 0)
        return operator(rows.flatten(0, 1), *inputs[1:]).unflatten(0, rows.shape[:2]), 0
    each = (
        [x if dim is None else x.select(dim, i) for x, dim in zip(inputs, in_dims, strict=True)]
        for i in range(info.batch_size)
    )
    return torch.stack([operator(*arguments) for arguments in each]), 0
