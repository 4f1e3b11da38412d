from __future__ import annotations

import pytest
import torch

from vocabula.training.live_memory import LiveMemory, MemoryExceeded

MB = 2**20


def test_bytes_are_counted_while_they_are_alive() -> None:
    with LiveMemory() as memory:
        a = torch.zeros(MB)  # 4 MB
        b = a + 1  # 8 MB
        del a
        c = b[: MB // 2]  # a view takes nothing
        b.add_(1)
    assert [count / MB for count in memory.series] == [4, 8, 4, 4]
    assert c.shape == (MB // 2,)


def test_what_was_there_before_does_not_count() -> None:
    weight = torch.zeros(MB)
    with LiveMemory([weight]) as memory:
        weight.mul_(2)
    assert memory.series == [0]


def test_gradients_and_what_backward_needs_are_seen() -> None:
    x = torch.ones(MB, requires_grad=True)
    with LiveMemory([x]) as memory:
        x.exp().sum().backward()
    assert memory.series[0] == 4 * MB  # kept for the gradient
    assert memory.series[-1] <= 8 * MB + 64
    assert x.grad is not None


def test_the_block_ends_once_too_much_is_alive() -> None:
    with pytest.raises(MemoryExceeded), LiveMemory(most=6 * MB):
        kept = [torch.zeros(MB) for _ in range(8)]
    assert "kept" not in locals()
