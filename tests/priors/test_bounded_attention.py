"""Attention with dropout of long sequences: the same function, a fraction of the memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from vocabula.priors import CodeGrid, TransformerPrior
from vocabula.priors import bounded_attention as module
from vocabula.priors.bounded_attention import bounded_attention
from vocabula.training.live_memory import LiveMemory


def inputs(length: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, length, 4, requires_grad=True) for _ in range(3)]


def test_nearly_no_dropout_is_the_attention_of_torch() -> None:
    own, other = inputs(300), inputs(300)
    weight = torch.randn(2, 300, 3, 4)
    found, _ = bounded_attention(nn.Module(), *own, None, dropout=1e-12, is_causal=True)
    expected = scaled_dot_product_attention(*other, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, two in zip(own, other, strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_the_backward_pass_drops_the_same_weights() -> None:
    """The result is linear in the values: <w, A v> = <A' w, v> for one and the same A."""
    query, key, value = inputs(300)
    weight = torch.randn(2, 300, 3, 4)
    found, _ = bounded_attention(nn.Module(), query, key, value, None, dropout=0.5)
    total = (found * weight).sum()
    (grad,) = torch.autograd.grad(total, value)
    torch.testing.assert_close((grad * value).sum(), total, rtol=1e-4, atol=1e-4)
    again, _ = bounded_attention(nn.Module(), query, key, value, None, dropout=0.5)
    assert not torch.allclose(found, again)  # dropout is there


def test_training_keeps_no_weights_of_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    grid = CodeGrid((4,), (400,))
    prior = TransformerPrior(grid, hidden=8, layers=4, heads=2, dropout=0.1).train()
    codes = torch.randint(0, 4, (2, 400))

    def most() -> int:
        with LiveMemory(prior.parameters()) as memory:
            prior.loss(codes).backward()
        return max(memory.series)

    weights = 2 * 2 * 400 * 400 * 4  # bytes of a layer
    bounded = most()
    monkeypatch.setattr(module, "LONG", 400)
    assert most() > bounded + 2 * 4 * weights


def test_the_saved_configuration_does_not_know_it() -> None:
    prior = TransformerPrior(CodeGrid((4,), (6,)), hidden=8, layers=1, heads=2)
    assert module.NAME not in str(prior.foreign_config())
