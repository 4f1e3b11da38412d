"""Parameters that a quantizer sets itself, also where FSDP2 has spread them over the processes.

``torch.distributed.fsdp.fully_shard`` leaves each process a part of every parameter, a `DTensor`.
For a forward and a backward pass it puts the gathered, whole parameter in its place. A value
written into that one would be gone after the pass, so it is written into the part, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError


def is_part(tensor: Tensor | None) -> bool:
    """Whether a tensor is a process's part of one that is spread over the processes."""
    if torch.compiler.is_compiling():  # in a forward pass, when all is whole
        return False
    spread = sys.modules.get("torch.distributed.tensor")  # only then such tensors exist
    return spread is not None and isinstance(tensor, spread.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """The tensor; one that is spread over the processes is gathered, and every process calls it."""
    return tensor.full_tensor() if is_part(tensor) else tensor  # type: ignore[attr-defined]


def _own_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters but for those of modules within that FSDP2 gathers when they are called."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    yield from module.parameters(recurse=False)
    for child in module.children():
        if fsdp is None or not isinstance(child, fsdp.FSDPModule):
            yield from _own_parameters(child)


def check_whole(module: nn.Module, method: str) -> None:
    """Refuse a method of a module whose parameters are spread over the processes.

    Modules within that `fully_shard` was given see to their own.

    Raises:
        OptionError: they are, as it is outside of a forward pass.
    """
    if torch.compiler.is_compiling():
        return
    if any(map(is_part, _own_parameters(module))):
        name = type(module).__name__.removeprefix("FSDP")
        raise OptionError(
            f"{name}.{method}: expected whole parameters, got this process's part of them, as "
            "fully_shard leaves it; call torch.distributed.fsdp.register_fsdp_forward_method(m, "
            f"{method!r}) once, for this module and each of its quantizers that fully_shard was "
            f"given, and then {method} on every process"
        )


class OwnParameters(nn.Module):
    """A module that sets its parameters itself: `set_parameter` reaches a spread one, too.

    FSDP2 assigns the part and the whole to the attribute in turns; the part is the same object as
    long as the model lives, and is kept in mind here.
    """

    _parts: dict[str, nn.Parameter] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign; and keep in mind a part of a parameter."""
        if isinstance(value, nn.Parameter) and is_part(value):
            self._parts = {**(self._parts or {}), name: value}
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)
        if self._parts is not None:  # another device may have made other parameters
            self._parts |= {
                n: p for n, p in self._parameters.items() if p is not None and is_part(p)
            }
        return result

    @torch.no_grad()
    def set_parameter(self, name: str, values: Tensor, where: Tensor | None = None) -> None:
        """Set a parameter to `values`, equal on every process, of its own shape.

        Args:
            name: of the parameter.
            values: what it becomes.
            where: bool, of the shape of `values` or one that expands to it: only there.
        """
        own = getattr(self, name)
        if not is_part(own):
            _write(own, values, where)
        if self._parts is not None and name in self._parts:
            part, values = self._parts[name], values.to(own.device)
            chosen = None if where is None else _part_of(where.expand_as(values), part)
            _write(part.to_local(), _part_of(values, part), chosen)  # type: ignore[attr-defined]


def _write(tensor: Tensor, values: Tensor, where: Tensor | None) -> None:
    values = values.to(tensor)
    tensor.copy_(values if where is None else torch.where(where, values, tensor))


def _part_of(values: Tensor, like: Any) -> Tensor:
    """The part of `values`, whole on every process, that a process has of `like`."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = like.device_mesh
    everywhere = [Replicate()] * mesh.ndim
    spread = DTensor.from_local(values.contiguous(), mesh, everywhere, run_check=False)
    return spread.redistribute(mesh, like.placements).to_local()


__all__ = ["OwnParameters", "check_whole", "is_part", "whole"]
