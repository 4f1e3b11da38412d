"""Statistics that wait for an update: saved only while there are some."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vocabula.functional import distributed, readable

PREFIX = "pending_"
VAIN = "vain"
"""How often codewords were replaced in vain: an entry that no exported model holds."""
LOST = (
    "state_dict: expected no statistics that wait for an update, got some of this process, which "
    "are not saved, as each process has its own; call update() before saving"
)


class Pending(nn.Module):
    """Handles buffers that wait for the next update: no state dict holds them while they are empty.

    A state dict replaces what was learned, and statistics that wait for an update belong to the old
    state: loading sets them to zero. A state dict that is taken between a forward pass and its
    update holds what waits, under names that begin with ``pending_``, and loading brings it back.
    In a process group each process has statistics of its own. There they are not saved, a warning
    says so, and the sums of a file are taken over by the first process alone.

    Buffers named in `surviving` outlive an update and are equal on all processes. Each is saved
    under its own name while it holds anything but zeros, and every process takes it over.

    A module that was built on the meta device gets its memory from ``to_empty``, with
    arbitrary content, or from ``load_state_dict(assign=True)``, which leaves out these buffers.
    """

    surviving: ClassVar[tuple[str, ...]] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        without_values = [name for name, buffer in self._unsaved() if buffer.is_meta]
        result = super()._apply(fn, recurse)
        for name in without_values:
            if not self.get_buffer(name).is_meta:
                self.get_buffer(name).zero_()
        return result

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        waits = self._waits()
        if waits and distributed.world_size() > 1:
            warnings.warn(LOST, stacklevel=2)
            waits = False
        for name, buffer in self._unsaved():
            kept = filled(buffer) if name in self.surviving else waits
            if kept and buffer.numel():
                key = prefix + self._saved_name(name)
                destination[key] = buffer if keep_vars else buffer.detach()

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        assigned = local_metadata.get("assign_to_params_buffers", False)
        for name, buffer in self._unsaved():
            key = prefix + self._saved_name(name)
            if key in unexpected_keys:
                unexpected_keys.remove(key)
            if not buffer.is_meta:
                buffer.zero_()
            elif assigned:
                self._buffers[name] = torch.zeros_like(buffer, device=_device(state_dict, prefix))
            # Sums are joined over the processes, so one takes them; a flag holds for all.
            of_all = buffer.dtype == torch.bool or name in self.surviving
            if key in state_dict and (of_all or distributed.rank() == 0):
                self._restore(name, state_dict[key], key, error_msgs)

    @torch.no_grad()
    def _restore(self, name: str, saved: Tensor, key: str, error_msgs: list[str]) -> None:
        buffer = self.get_buffer(name)
        if saved.shape != buffer.shape:
            error_msgs.append(
                f"size mismatch for {key}: expected {tuple(buffer.shape)}, got {tuple(saved.shape)}"
            )
        elif not buffer.is_meta:
            buffer.copy_(saved)

    @torch.no_grad()
    def discard(self) -> None:
        """Forget what waits for an update."""
        for name, buffer in self._unsaved():
            if name not in self.surviving:
                buffer.zero_()

    def _waits(self) -> bool:
        """Whether something waits for an update, as far as values can be read."""
        return any(filled(buffer) for name, buffer in self._unsaved() if name not in self.surviving)

    def _saved_name(self, name: str) -> str:
        """The name in a state dict of an unsaved buffer."""
        return name if name in self.surviving or name.startswith(PREFIX) else PREFIX + name

    def _unsaved(self) -> list[tuple[str, Tensor]]:
        buffers = ((name, self._buffers[name]) for name in sorted(self._non_persistent_buffers_set))
        return [(name, buffer) for name, buffer in buffers if buffer is not None]


def is_pending(name: str) -> bool:
    """Whether an entry of a state dict matters to the next updates alone, and may be absent."""
    last = name.rpartition(".")[2]
    return last.startswith(PREFIX) or last == VAIN


def filled(buffer: Tensor) -> bool:
    """Whether a tensor holds anything but zeros, as far as its values can be read."""
    values = readable(buffer)
    return values is not None and bool(values.any())


def _device(state_dict: Mapping[str, Any], prefix: str) -> torch.device:
    """The device of a module's tensors; if it has none, of the whole model's tensors."""
    tensors = {name: x for name, x in state_dict.items() if isinstance(x, Tensor)}
    own = [x for name, x in tensors.items() if name.startswith(prefix)]
    first = next(iter([*own, *tensors.values()]), None)
    return torch.device("cpu") if first is None else first.device
