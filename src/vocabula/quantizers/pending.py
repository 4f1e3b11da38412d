"""Buffers that no state dict holds: pending values for the next update, initially none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Pending(nn.Module):
    """Resets buffers that are not saved to zero whenever the module's state is replaced.

    A state dict replaces what was learned, and statistics that wait for an update belong to the old
    state. A module that was built on the meta device gets its memory from ``to_empty``, with
    arbitrary content, or from ``load_state_dict(assign=True)``, which leaves out these buffers.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        without_values = [name for name, buffer in self._unsaved() if buffer.is_meta]
        result = super()._apply(fn, recurse)
        for name in without_values:
            if not self.get_buffer(name).is_meta:
                self.get_buffer(name).zero_()
        return result

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)
        assigned = local_metadata.get("assign_to_params_buffers", False)
        for name, buffer in self._unsaved():
            if not buffer.is_meta:
                buffer.zero_()
            elif assigned:
                self._buffers[name] = torch.zeros_like(buffer, device=_device(state_dict, prefix))

    def _unsaved(self) -> list[tuple[str, Tensor]]:
        buffers = ((name, self._buffers[name]) for name in sorted(self._non_persistent_buffers_set))
        return [(name, buffer) for name, buffer in buffers if buffer is not None]


def _device(state_dict: Mapping[str, Any], prefix: str) -> torch.device:
    """The device of a module's tensors; if it has none, of the whole model's tensors."""
    tensors = {name: x for name, x in state_dict.items() if isinstance(x, Tensor)}
    own = [x for name, x in tensors.items() if name.startswith(prefix)]
    first = next(iter([*own, *tensors.values()]), None)
    return torch.device("cpu") if first is None else first.device
