"""The compiled networks of portable priors: the tables of `integer_network`, much faster.

A call goes from the symbols around some positions to their cumulative probabilities, without a
tensor of what lies between. Both compute exactly, and so the same integers.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.integer_network import IntegerNetwork, Layer, curve_table, exponential_table
from vocabula.functional import native
from vocabula.priors.context import Context, by_kind

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_PANEL = 8
"""Outputs whose weights lie together."""

Highest = Callable[[Tensor], NDArray[np.int64]]
"""The last possible value (M,) of a symbol of positions (M,)."""


class _Layer(ctypes.Structure):
    """The C struct ``layer`` of symbol_network.c."""

    _fields_ = (("weight", _POINTER), ("bias", _POINTER), ("inputs", _SIZE), ("outputs", _SIZE))


class _Plane(ctypes.Structure):
    """The C struct ``plane``."""

    _fields_ = (
        *(("rows", _POINTER), ("size", _SIZE)),
        *((name, _POINTER) for name in ("first", "stride", "height", "width", "row", "column")),
    )


class _Network(ctypes.Structure):
    """The C struct ``network``."""

    _fields_ = (
        *(("table", _POINTER), ("width", _SIZE), ("planes", _POINTER)),
        *(("taps", _POINTER), ("tap_count", _SIZE), ("signal", _POINTER), ("scale", _POINTER)),
        *(("phase", _POINTER), ("phases", _POINTER), ("phase_count", _SIZE)),
        *(("layers", _POINTER), ("layer_count", _SIZE)),
        *(("curve", _POINTER), ("exponential", _POINTER), ("far", _SIZE)),
    )


def serves(device: torch.device) -> bool:
    """Whether the kernel computes what is on a device: on the CPU, where it was built."""
    return device.type == "cpu" and native.ready()


class SymbolKernel:
    """The frozen network of a symbol, as the kernel reads it.

    Args:
        network: on the CPU.
        table: embeddings (rows, width), integers in float64.
    """

    def __init__(self, network: IntegerNetwork, table: Tensor) -> None:
        self.table = table.contiguous()
        self.phases = [vectors.contiguous() for vectors in network.phases]
        self.inputs = [stack[0][0].shape[1] for stack in network.stacks]
        self.outputs = len(network.stacks[0][-1][0])
        packed: dict[int, tuple[_Layer, list[Tensor]]] = {}
        for layer in (layer for stack in network.stacks for layer in stack):
            if id(layer) not in packed:
                packed[id(layer)] = _packed(layer)
        self.stacks = [
            (_Layer * len(stack))(*(packed[id(layer)][0] for layer in stack))
            for stack in network.stacks
        ]
        self._kept = [tensors for _, tensors in packed.values()]  # what the pointers point to


class KernelTables:
    """Tables of a symbol in a context, whose own symbols may become known between calls.

    Args:
        kernel: of the symbol.
        context: of the signals.
        slot: the symbol.
    """

    def __init__(self, kernel: SymbolKernel, context: Context, slot: int) -> None:
        self._kernel, self._context = kernel, context
        self._kept: list[Tensor] = []
        self._planes = (_Plane * len(context.planes()))(
            *(
                _Plane(
                    self._at(plane.table),
                    plane.places.size,
                    *(self._at(x) for x in (plane.places.first, plane.places.stride)),
                    *(self._at(x) for x in (plane.places.height, plane.places.width)),
                    *(self._at(row), self._at(column)),
                )
                for plane, row, column in context.planes()
            )
        )
        self._phase = self._pointers(context.phases(slice(None)))
        self._vectors = self._pointers(kernel.phases)
        scale = context.scale
        self._places = self._at(context.own.places.signal), scale is not None and self._at(scale)
        self._constants = _constants()  # kept: each of threads that begin at once has its own
        self._networks = [self._network(slot, kind) for kind in range(len(kernel.stacks))]

    def rows(self, which: Tensor, highest: Highest | None = None) -> NDArray[np.uint32]:
        """Cumulative probabilities (M, V + 1) of positions (M,); see `cumulative_rows`.

        Args:
            which: the positions; what their networks look at is known.
            highest: values above have the least probability; None: all are possible.
        """

        def compute(part: Tensor | slice, kind: int) -> Tensor:
            assert isinstance(part, Tensor), "a part of positions that are none"
            part = part.contiguous()
            out = torch.empty((len(part), self._kernel.outputs + 1), dtype=torch.int32)
            most = None if highest is None else np.ascontiguousarray(highest(part), np.int64)
            native.call(
                "vocabula_symbol_rows",
                self._kernel.inputs[kind],
                *(ctypes.byref(self._networks[kind]), part.data_ptr(), len(part)),
                *(None if most is None else most.ctypes.data, out.data_ptr()),
            )
            return out

        return by_kind(self._context, which, compute).numpy().view(np.uint32)

    def _network(self, slot: int, kind: int) -> _Network:
        kernel = self._kernel
        taps = torch.tensor(self._context.looks(slot, kind), dtype=torch.int64)
        assert len(taps) * kernel.table.shape[1] == kernel.inputs[kind], "an input for each number"
        signal, scale = self._places
        curve, exponential = self._constants
        return _Network(
            *(self._at(kernel.table), kernel.table.shape[1], ctypes.addressof(self._planes)),
            *(self._at(taps), len(taps), signal, scale or None),
            *(ctypes.addressof(self._phase), ctypes.addressof(self._vectors), len(kernel.phases)),
            *(ctypes.addressof(kernel.stacks[kind]), len(kernel.stacks[kind])),
            *(curve.ctypes.data, exponential.ctypes.data, len(exponential) - 1),
        )

    def _at(self, x: Tensor) -> int:
        """The address of a tensor, or of a copy in one piece, that lives as long as this."""
        self._kept.append(x.contiguous())
        return self._kept[-1].data_ptr()

    def _pointers(self, tensors: list[Tensor]) -> Any:
        return (_POINTER * len(tensors))(*(self._at(x) for x in tensors))


@functools.cache
def _constants() -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    return curve_table().astype(np.int16), exponential_table().astype(np.int32)


def _packed(layer: Layer) -> tuple[_Layer, list[Tensor]]:
    """The C struct of a layer, and its weights (outputs / 8, inputs, 8) and biases."""
    weight, bias = layer
    outputs, inputs = weight.shape
    more = -outputs % _PANEL
    weight = torch.nn.functional.pad(weight, (0, 0, 0, more))
    weight = weight.view(-1, _PANEL, inputs).transpose(1, 2).contiguous()
    bias = torch.nn.functional.pad(bias, (0, more))
    return _Layer(weight.data_ptr(), bias.data_ptr(), inputs, outputs), [weight, bias]
