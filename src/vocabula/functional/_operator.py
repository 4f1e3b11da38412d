"""Operators that torch's compiler knows, ready without delay.

``torch.library.custom_op`` imports the whole compiler at an operator's first call: 1.5 s and 115
MB, wasted for a command that only encodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Operator:
    """An operator ``vocabula::name`` of tensors that are neither changed nor returned.

    Its methods are those of ``torch.library.custom_op`` and do the same.

    Args:
        name: ``vocabula::...``.
        schema: inputs and outputs, in torch's notation.
        function: computes it on any device, without gradients.
    """

    def __init__(self, name: str, schema: str, function: Callable[..., Any]) -> None:
        torch.library.define(name, schema)
        torch.library.impl(name, "CompositeExplicitAutograd")(function)
        namespace, short = name.split("::")
        self._name, self._init_fn = name, function
        self._kernels: dict[str, Callable[..., Any]] = {}
        self.overload = getattr(getattr(torch.ops, namespace), short).default

    def __call__(self, *args: Any) -> Any:
        """Compute it."""
        return self.overload(*args)

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Register the function that gives the shapes and types of the result."""
        torch.library.register_fake(self._name)(function)
        return function

    def register_vmap(self, function: Callable[..., Any]) -> None:
        """Register the function that applies it to many inputs at a time."""
        torch.library.register_vmap(self._name, function)

    def register_kernel(self, device: str, function: Callable[..., Any]) -> None:
        """Register another implementation for a type of device; the last one given counts."""
        if device not in self._kernels:
            torch.library.impl(self._name, device)(lambda *args: self._kernels[device](*args))
        self._kernels[device] = function


def operator(name: str, *, schema: str) -> Callable[[Callable[..., Any]], Operator]:
    """Make an `Operator` from the decorated function."""
    return lambda function: Operator(name, schema, function)
