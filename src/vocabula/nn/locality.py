"""A network's receptive field: the input positions that an output position depends on.

Computed from the layers, one axis at a time, from the output back to the input::

    convolution             o  <-  s o - p   ...  s o - p + d (k - 1)
    transposed convolution  o  <-  ceil((o + p - d (k - 1)) / s)  ...  floor((o + p) / s)

with kernel k, stride s, padding p and dilation d. Layers that work on each position alone change
nothing. Any other layer may depend on everything, as attention and group normalization do.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from vocabula.nn.resampling import ResizeConvolution
from vocabula.nn.residual import BottleneckBlock

Span = tuple[int, int]
"""The first of some neighbouring positions, and the position after the last."""

POINTWISE = (nn.Identity, nn.ReLU, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Dropout)
"""Layers that work on every position alone, in evaluation."""


def context_of(layers: Iterable[nn.Module], *, inputs: int, outputs: int) -> int | None:
    """How many blocks on each side of its own a block of outputs depends on.

    Args:
        layers: the network's layers, in order.
        inputs: positions of a block of the input, along each axis.
        outputs: positions that the network makes of a block.

    Returns:
        The number of blocks on the side that needs more; None if a layer may depend on everything.

    Example:
        >>> context_of([nn.Conv2d(3, 8, 4, stride=2, padding=1)], inputs=2, outputs=1)
        1
        >>> context_of([nn.GroupNorm(2, 8)], inputs=1, outputs=1) is None
        True
    """
    chain, most = nn.Sequential(*layers), 0
    for axis in (0, 1):
        span = _needed(chain, (0, outputs), axis)
        if span is None:
            return None
        most = max(most, -(span[0] // inputs), -(-span[1] // inputs) - 1)
    return most


def _needed(layer: nn.Module, span: Span, axis: int) -> Span | None:
    """The inputs of a layer that a span of its outputs depends on; None means all of them.

    Types are compared exactly: a class that inherits from one of these may do something else.
    """
    kind = type(layer)
    if kind in POINTWISE:
        return span
    if kind is nn.Sequential:
        return _through(reversed(layer), span, axis)  # type: ignore[call-overload]
    if kind is BottleneckBlock and isinstance(layer, BottleneckBlock):
        inner = _through((layer.pointwise, layer.spatial), span, axis)
        return inner and (min(span[0], inner[0]), max(span[1], inner[1]))
    if kind is ResizeConvolution:
        return (span[0] - 1) // 2, span[1] // 2 + 1
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    if kind in convolutions and isinstance(layer, convolutions):
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            return None
        stride, padding = layer.stride[axis], int(layer.padding[axis])
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
        if kind is nn.Conv2d:
            return span[0] * stride - padding, (span[1] - 1) * stride - padding + reach + 1
        return -((reach - span[0] - padding) // stride), (span[1] - 1 + padding) // stride + 1
    return None


def _through(backwards: Iterable[nn.Module], span: Span, axis: int) -> Span | None:
    found: Span | None = span
    for layer in backwards:
        found = found and _needed(layer, found, axis)
    return found
