"""The networks of a portable prior in integers: no rounding, so no machine differs from another.

Values are multiples of 2^-8 and weights of 2^-12, held as integers in float64. A library may sum a
matrix product in any order: every sum stays below 2^52 and is exact.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.tree import falling
from vocabula.errors import OptionError
from vocabula.priors.fixed_point import (
    CURVE_END,
    VALUE_BITS,
    VALUE_END,
    WEIGHT_BITS,
    WEIGHT_END,
    integers,
)
from vocabula.priors.portable import SymbolNetwork

LARGEST = 2**52
"""Below it float64 holds every integer, and every half between two."""
_STATE = int(VALUE_END) << VALUE_BITS
_CURVE = int(CURVE_END) << VALUE_BITS
_FAR = 18 << VALUE_BITS
"""exp(-18) is far below the smallest share of 2^24."""
_UNIT = 28
"""Bits of the weight of the most probable symbol."""

Layer = tuple[Tensor, Tensor]
"""Weights (out, in) and biases (out,), integers in float64."""


@functools.cache
def curve_table() -> NDArray[np.float64]:
    """(4096,) float64: x / (1 + exp(-x)) in 2^-8 at the multiples x of 2^-8 from -8 on."""
    one, found = 1 << 60, []
    fall = falling(_CURVE)
    for x in range(-_CURVE, _CURVE):
        above, below = (one, one + fall[x]) if x >= 0 else (fall[-x], one + fall[-x])
        found.append((2 * x * above + below) // (2 * below))
    return np.array(found, np.float64)


@functools.cache
def exponential_table() -> NDArray[np.int64]:
    """(18 * 256 + 1,) exp(-i / 256) in 2^-28, and 0 at its end."""
    table = np.array([value >> (60 - _UNIT) for value in falling(_FAR)], np.int64)
    table[-1] = 0
    return table


class IntegerNetwork:
    """A `SymbolNetwork` frozen to integers.

    Args:
        network: the trained network.
        device: where to compute; all devices give the same result.
        summed: how many embeddings are added up to an input, at most.

    Attributes:
        phases: vectors (any, hidden) of each table that is added by place.

    Raises:
        OptionError: some sum could reach 2^52, or a weight is not finite.
    """

    def __init__(self, network: SymbolNetwork, device: torch.device, summed: int = 1) -> None:
        self._firsts = [_layer(layer, device) for layer in network.firsts]
        self.phases = [frozen_values(table, device) for table in network.phases]
        self._inner = [_layer(layer, device) for layer in network.inner]
        self._outer = [_layer(layer, device) for layer in network.outer]
        self._last = _layer(network.last, device)
        for layer in self._firsts:
            _check_bound(layer, summed)
        for layer in (*self._inner, *self._outer, self._last):
            _check_bound(layer)

    def logits(self, x: Tensor, phases: Sequence[Tensor], kind: int = 0) -> Tensor:
        """Logits (M, V) in 2^-8, of embeddings (M, inputs) in 2^-8; all integers in float64.

        The positions (M,) are of one kind, see `Context.kinds`.
        """
        h = _apply(self._firsts[kind], x)
        for table, phase in zip(self.phases, phases, strict=True):
            h = h + table[phase]
        h = _bounded(h)
        for inner, outer in zip(self._inner, self._outer, strict=True):
            h = _bounded(h + _apply(outer, _curve(_bounded(_apply(inner, _curve(h))))))
        return _bounded(_apply(self._last, _curve(h)))

    @property
    def stacks(self) -> list[list[Layer]]:
        """All layers in the order of their use, for each kind of positions."""
        pairs = zip(self._inner, self._outer, strict=True)
        blocks = [layer for pair in pairs for layer in pair]
        return [[first, *blocks, self._last] for first in self._firsts]

    def content(self) -> Iterator[bytes]:
        """All integers of the network, for a checksum."""
        for tensor in self.phases:
            yield _bytes(tensor)
        for layer in (*self._firsts, *self._inner, *self._outer, self._last):
            yield from map(_bytes, layer)


def weights_of(logits: Tensor) -> NDArray[np.int64]:
    """Weights exp(logit - largest) in 2^-28, (M, V) int64, of logits as a network gives them."""
    below = (logits.amax(1, keepdim=True) - logits).clamp_max(_FAR).long().cpu().numpy()
    return exponential_table()[below]


def frozen_values(x: Tensor, device: torch.device) -> Tensor:
    """Biases, phases or embeddings in 2^-8, as integers in float64."""
    return _integers(x, VALUE_BITS, VALUE_END).to(device)


def _layer(layer: torch.nn.Module, device: torch.device) -> Layer:
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return _integers(weight, WEIGHT_BITS, WEIGHT_END).to(device), frozen_values(bias, device)


def _integers(x: Tensor, bits: int, end: float) -> Tensor:
    if not bool(x.isfinite().all()):  # machines convert NaN to different integers
        raise OptionError(
            "portable: expected finite weights, got NaN or infinity; train the prior again"
        )
    return integers(x.cpu(), bits, end)


def _check_bound(layer: Layer, summed: int = 1) -> None:
    """Refuse a layer if any input could make one of its sums inexact in float64."""
    largest = float(layer[0].abs().sum(1).max()) * _STATE * summed
    if largest >= LARGEST:
        raise OptionError(
            f"portable: expected sums below 2^52, got up to {largest:.3g} from "
            f"{layer[0].shape[1]} inputs; train with fewer of them"
        )


def _apply(layer: Layer, x: Tensor) -> Tensor:
    """A matrix product rescaled to the step of values, halves rounded up, plus biases."""
    return (x @ layer[0].T * 2.0**-WEIGHT_BITS + 0.5).floor() + layer[1]


def _bounded(x: Tensor) -> Tensor:
    return x.clamp(-_STATE, _STATE - 1)


def _curve(x: Tensor) -> Tensor:
    """The activation of bounded values by its table."""
    return _curve_of_states(x.device)[x.long() + _STATE]


@functools.cache
def _curve_of_states(device: torch.device) -> Tensor:
    """(2^16,) the activation of all bounded values: `curve_table`, and the identity above it."""
    x, top = np.arange(-_STATE, _STATE), _CURVE - 1
    inside = curve_table()[x.clip(-_CURVE, top) + _CURVE]
    return torch.from_numpy((inside + (x - top).clip(0)).clip(-_STATE, _STATE - 1)).to(device)


def _bytes(x: Tensor) -> bytes:
    return x.cpu().numpy().astype("<i4").tobytes()
