"""Causal layers against hand arithmetic, and in parts against the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vocabula.nn.causal import CausalConv1d, CausalConvTranspose1d, CausalUnit, Memory, Snake


def test_a_causal_convolution_sums_what_was() -> None:
    layer = CausalConv1d(1, 1, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[100.0, 10.0, 1.0]]]))
        layer.bias.zero_()  # type: ignore[union-attr]
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert layer(x).flatten().tolist() == [1, 12, 123, 234]


def test_a_transposed_convolution_spreads_over_its_own_and_the_next_hop() -> None:
    layer = CausalConvTranspose1d(1, 1, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[1.0, 2.0, 10.0, 20.0]]]))
        layer.bias.zero_()  # type: ignore[union-attr]
    assert layer(torch.tensor([[[1.0, 0.0, 3.0]]])).flatten().tolist() == [1, 2, 10, 20, 3, 6]


def test_snake_is_x_and_a_squared_sine() -> None:
    snake = Snake(2)
    with torch.no_grad():
        snake.frequency.copy_(torch.tensor([[1.0], [2.0]]))
    x = torch.full((1, 2, 1), torch.pi / 4)
    torch.testing.assert_close(snake(x).flatten(), x.flatten() + torch.tensor([0.5, 0.5]))


LAYERS: dict[str, tuple[nn.Module, int]] = {
    "plain": (CausalConv1d(2, 3, 5), 1),
    "dilated": (CausalConv1d(2, 3, 3, dilation=4), 1),
    "strided": (CausalConv1d(2, 3, 6, stride=3), 3),
    "stride as wide": (CausalConv1d(2, 3, 3, stride=3), 3),
    "transposed": (CausalConvTranspose1d(2, 3, 3), 1),
    "unit": (CausalUnit(2, 3, 3, "snake"), 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_parts_are_the_whole(name: str) -> None:
    layer, unit = LAYERS[name]
    torch.manual_seed(0)
    x = torch.randn(2, 2, 12 * unit)
    whole, memory = layer(x), Memory()
    parts: list[Tensor] = []
    for start, end in ((0, 1), (1, 2), (2, 7), (7, 12)):
        parts.append(layer(x[..., start * unit : end * unit], memory))
    torch.testing.assert_close(torch.cat(parts, -1), whole)


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_input_is_the_first_that_counts(name: str) -> None:
    layer, unit = LAYERS[name]
    x = torch.randn(1, 2, 30 * unit, requires_grad=True)
    made = layer(x)
    at = made.shape[-1] // 2
    made[..., at].sum().backward()
    assert x.grad is not None
    touched = x.grad[0].abs().sum(0).nonzero().flatten()
    first = layer.first_input(at)  # type: ignore[operator]
    # a transposed convolution takes the input before for the whole hop
    assert first == int(touched.min())
