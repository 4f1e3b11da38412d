"""The memory of a training step, counted while it runs: the bytes that are alive at each moment."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryExceeded(Exception):  # noqa: N818 - it is an answer, not an error
    """A counted block has exceeded its memory limit."""


class LiveMemory(TorchDispatchMode):
    """Counts, within the block, the bytes of tensors that operations make until they are freed.

    Memory internal to an operation, such as the workspace of a convolution, is not counted.
    Backward passes are seen where they run in the caller's thread, as they do on the CPU.

    Args:
        before: tensors whose memory does not count.
        most: bytes; the block ends with `MemoryExceeded` once more are alive.

    Attributes:
        series: bytes alive after each operation, in order. Two passes over batches of different
            sizes make the same operations, so that each moment can be extrapolated.
    """

    def __init__(self, before: Iterable[Tensor] = (), most: float = math.inf) -> None:
        super().__init__()
        self.most = most
        self.series: list[int] = []
        self._live = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in before}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count what it has made."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value)
        self.series.append(self._live)
        if self._live > self.most:
            raise MemoryExceeded
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._live += size
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
