"""Causal layers over time: an output depends on no later input, offline and on a stream alike.

::

    convolution, k wide, stride s, dilation d    d (k - 1) + 1 - s inputs before, none after
    transposed convolution, 2 s wide, stride s   one input before, none after

Offline the inputs before the first are 0. On a stream they are the last ones of the part before,
which a `Memory` keeps: both ways take the same path, so that parts of any length give what the
whole gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, pad


class Memory:
    """What the layers of one network remember of a stream.

    Attributes:
        frames: what an inverse STFT remembers, by the layer.
        scales: a number of frames and what it divides their sum by, by the layer.

    Example:
        >>> layer, memory = CausalConv1d(1, 1, 3), Memory()
        >>> x = torch.randn(1, 1, 10)
        >>> parts = [layer(x[..., :4], memory), layer(x[..., 4:], memory)]
        >>> bool(torch.allclose(torch.cat(parts, -1), layer(x), atol=1e-6))
        True
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Module, Tensor] = {}
        self.frames: dict[nn.Module, Any] = {}
        self.scales: dict[nn.Module, tuple[int, Tensor]] = {}

    def extended(self, layer: nn.Module, x: Tensor, count: int, dim: int = -1) -> Tensor:
        """Inputs x of a layer behind the `count` inputs before them, with time at `dim`."""
        kept = self._kept.get(layer)
        if kept is None:
            kept = torch.zeros_like(x.narrow(dim, 0, 1)).repeat_interleave(count, dim)
        x = torch.cat([kept, x], dim)
        self._kept[layer] = x.narrow(dim, x.shape[dim] - count, count)
        return x


class CausalConv1d(nn.Conv1d):
    """A convolution whose output t depends on the inputs up to s (t + 1) - 1.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: its width.
        stride: s; the number of inputs is a multiple of it.
        dilation: distance between the inputs that a kernel takes.
        groups: groups of channels.

    Shape:
        (B, inputs, T) -> (B, outputs, T / stride).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            inputs, outputs, max(kernel, stride), stride=stride, dilation=dilation, groups=groups
        )
        self.before = dilation * (self.kernel_size[0] - 1) + 1 - stride

    def first_input(self, output: int) -> int:
        """The first input that an output depends on."""
        return output * self.stride[0] - self.before

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Convolve inputs x (B, inputs, T), those of a stream if there is a memory."""
        x = _behind(self, x, self.before, memory)
        return conv1d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """A transposed convolution whose outputs s t ... s (t + 1) - 1 depend on inputs t - 1 and t.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: s; the kernel is 2 s wide.

    Shape:
        (B, inputs, T) -> (B, outputs, s T).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 2 * stride, stride=stride)

    def first_input(self, output: int) -> int:
        """The first input that an output depends on."""
        return output // self.stride[0] - 1

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:  # type: ignore[override]
        """Spread inputs x (B, inputs, T), those of a stream if there is a memory."""
        stride, count = self.stride[0], x.shape[-1]
        x = _behind(self, x, 1, memory)
        spread = conv_transpose1d(x, self.weight, self.bias, stride)
        return spread[..., stride : (count + 1) * stride]


class Snake(nn.Module):
    """x + sin^2(a x) / a with a learned a for each channel.

    Source: Liu et al. 2020, "Neural Networks Fail to Learn Periodic Functions and How to Fix It".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Activate x (B, channels, T)."""
        a = self.frequency
        return x + (a * x).sin().square() / (a + 1e-9)


class CausalUnit(nn.Module):
    """A residual unit: ``x + W2 act(W1 act(x))``, W1 causal and dilated, W2 of each moment alone.

    Args:
        channels: in and out.
        kernel: width of W1.
        dilation: of W1.
        activation: ``elu`` or ``snake``.

    Shape:
        (B, channels, T) -> the same.

    Source: Zeghidour et al. 2021, "SoundStream", section III-A.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, activation: str) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.before = activation_of(activation, channels)
        self.spread = CausalConv1d(channels, inner, kernel, dilation=dilation)
        self.between = activation_of(activation, inner)
        self.mix = nn.Conv1d(inner, channels, 1)

    def first_input(self, output: int) -> int:
        """The first input that an output depends on."""
        return self.spread.first_input(output)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Add the unit's correction to x (B, channels, T)."""
        change: Tensor = self.mix(self.between(self.spread(self.before(x), memory)))
        return x + change


def activation_of(name: str, channels: int) -> nn.Module:
    """The activation of a name, ``elu`` or ``snake``, for features of some channels."""
    return Snake(channels) if name == "snake" else nn.ELU()


def first_input(layers: Any, output: int) -> int:
    """The first input of a chain of layers that one of its outputs depends on."""
    for layer in reversed(list(layers)):
        find = getattr(layer, "first_input", None)
        output = output if find is None else find(output)
    return output


def _behind(layer: nn.Module, x: Tensor, count: int, memory: Memory | None) -> Tensor:
    """Inputs x (B, C, T) behind the `count` inputs before them, 0 where there are none."""
    if memory is not None:
        return memory.extended(layer, x, count)
    return pad(x, (count, 0))
