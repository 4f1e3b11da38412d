"""Operators that torch's compiler knows, ready at once.

``torch.library.custom_op`` imports the whole compiler at an operator's first call: 1.5 s and
115 MB, which a command that only encodes would pay for nothing.
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
        schema: what goes in and comes out, in torch's words.
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
        """Say the shapes and types of what comes out."""
        torch.library.register_fake(self._name)(function)
        return function

    def register_vmap(self, function: Callable[..., Any]) -> None:
        """Say how it is applied to many inputs at a time."""
        torch.library.register_vmap(self._name, function)

    def register_kernel(self, device: str, function: Callable[..., Any]) -> None:
        """Compute it otherwise on a type of device; the last function given counts."""
        if device not in self._kernels:
            torch.library.impl(self._name, device)(lambda *args: self._kernels[device](*args))
        self._kernels[device] = function


def operator(name: str, *, schema: str) -> Callable[[Callable[..., Any]], Operator]:
    """Make an `Operator` of the function below."""
    return lambda function: Operator(name, schema, function)
