"""Buffers that keep their dtype when a module is converted to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn


class KeepDtype(nn.Module):
    """Keeps the buffers named in `kept_buffers` at their dtype under ``.to(dtype)``.

    Moving averages in bfloat16 stall: 256 + 0.5 rounds to 256. They stay float32 here: they follow
    the module to another device, but not to another dtype, and take a state dict's values, not its
    dtypes.
    """

    kept_buffers: ClassVar[tuple[str, ...]] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: self.get_buffer(name) for name in self.kept_buffers}
        result = super()._apply(fn, recurse)
        for name, old in before.items():
            new = self.get_buffer(name)
            if new.dtype != old.dtype:
                movable = not (old.is_meta or new.is_meta)
                self._buffers[name] = old.to(new.device) if movable else new.to(old.dtype)
        return result

    def _load_from_state_dict(self, *args: Any) -> None:
        before = {name: self.get_buffer(name).dtype for name in self.kept_buffers}
        super()._load_from_state_dict(*args)
        for name, dtype in before.items():
            self._buffers[name] = self.get_buffer(name).to(dtype)
