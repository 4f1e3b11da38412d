"""State that every process of a group keeps for itself, such as its counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class LocalState(nn.Module):
    """Holds tensors that differ between the processes of a group outside of the buffers.

    DistributedDataParallel overwrites the buffers of every process with those of the first before
    a forward pass. Counts and sums that a process has gathered since the last update would be lost.
    Tensors given to `keep_local` are therefore plain attributes. Otherwise they behave like
    buffers: they follow the module to another device, and are saved and loaded by name.

    In the bases of a class it must come before the classes that handle its buffers.
    """

    _local: tuple[str, ...] = ()

    def keep_local(self, name: str, tensor: Tensor, *, persistent: bool) -> None:
        """Hold `tensor` as the attribute `name` of this process; save it if `persistent`."""
        self.register_buffer(name, tensor, persistent=persistent)
        self._local = (*self._local, name)
        self.__dict__[name] = self._buffers.pop(name)

    def follow(self, like: Tensor) -> None:
        """Bring the local state to the device of `like`, for wrappers that move only buffers."""
        for name in self._local:
            held = getattr(self, name)
            if held.device != like.device:
                setattr(self, name, held.to(like.device))

    @contextmanager
    def _as_buffers(self) -> Iterator[None]:
        """Within the block the local state is among the buffers, for code that handles buffers."""
        for name in self._local:
            self._buffers[name] = self.__dict__.pop(name)
        try:
            yield
        finally:
            for name in self._local:
                held = self._buffers.pop(name)
                assert held is not None
                self.__dict__[name] = held

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        with self._as_buffers():
            return super()._apply(fn, recurse)

    def discard(self) -> None:
        """Forget what waits for an update; see `Pending`, which handles its buffers."""
        with self._as_buffers():
            super().discard()  # type: ignore[misc]

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._as_buffers():
            super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._as_buffers():
            super()._load_from_state_dict(*args, **kwargs)


def local_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The local state of a module and its submodules, by the names that buffers would have."""
    return {
        f"{prefix}.{name}" if prefix else name: getattr(inner, name)
        for prefix, inner in module.named_modules()
        if isinstance(inner, LocalState)
        for name in inner._local
    }
