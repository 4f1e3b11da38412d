"""Gated PixelCNN: stacks of causal convolutions that together see everything before a position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from vocabula.errors import OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.convolutional import ConvolutionalPrior
from vocabula.priors.grids import LAYERS, at, convolve
from vocabula.priors.position_decoding import PositionDecoding
from vocabula.registry import component
from vocabula.signals import Condition


class StackConvolution(nn.Module):
    """Convolution over earlier places along axis d, and over both sides of the later axes.

    Args:
        width: input channels C; the output has 2 C.
        axes: axes D of the grid.
        axis: d; along the axes before it, only the position itself is seen.
        kernel: odd width k; k // 2 places before, and along later axes k // 2 after as well.
        strict: leave out the place itself along axis d.

    Shape:
        (B, *grid, C) -> (B, *grid, 2 C).
    """

    def __init__(self, width: int, axes: int, axis: int, kernel: int, *, strict: bool) -> None:
        super().__init__()
        self.axes, self.axis, self.strict = axes, axis, strict
        self.taps = kernel // 2 + (not strict)
        sides = (*(1 for _ in range(axis)), self.taps, *(kernel for _ in range(axes - axis - 1)))
        self.around = tuple(kernel // 2 if later > axis else 0 for later in range(axes))
        layer = LAYERS[axes - 1](width, 2 * width, sides)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the whole grid x (B, *grid, C)."""
        before = [0, 0] * (self.axes - self.axis)  # of channels and the later axes
        x = pad(x, (*before, self.taps - (not self.strict), 0))
        if self.strict:
            x = x.narrow(1 + self.axis, 0, x.shape[1 + self.axis] - 1)
        return self.slabs(x)

    def slabs(self, window: Tensor) -> Tensor:
        """Convolve slabs of axis d; there are ``taps - 1`` fewer after it than before."""
        return convolve(window, self.weight, self.bias, self.around)


Run = Callable[[StackConvolution, Tensor], Tensor]
"""How a convolution is applied: to the whole grid, or to the next slab with a cache."""


class GatedLayer(nn.Module):
    """One layer of one stack: ``y = tanh(a) sigmoid(b)``, (a, b) = conv(x) + link + condition.

    Args:
        width: channels C.
        axes: axes D of the grid.
        axis: d, the stack's.
        kernel: odd width of the convolution.
        first: whether it is the stack's first layer: strictly causal, and no residual.
        conditioned: whether a condition (..., C) comes in.
        dropout: of y, in training.

    Shape:
        x (B, *grid, C) -> y (B, *grid, C) and (a, b) (B, *grid, 2 C) for the next stack.
    """

    def __init__(
        self,
        width: int,
        axes: int,
        axis: int,
        kernel: int,
        *,
        first: bool,
        conditioned: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv = StackConvolution(width, axes, axis, kernel, strict=first)
        self.link = nn.Linear(2 * width, 2 * width) if axis else None
        self.condition = nn.Linear(width, 2 * width, bias=False) if conditioned else None
        self.project = nn.Linear(width, width) if axis == axes - 1 else None
        self.residual = self.project is not None and not first
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        link: Tensor | None,
        condition: Tensor | None,
        run: Run,
    ) -> tuple[Tensor, Tensor]:
        """Apply the layer; `run` applies its convolution, with or without a cache."""
        gates = run(self.conv, x)
        if self.link is not None and link is not None:
            gates = gates + self.link(link)
        if self.condition is not None and condition is not None:
            gates = gates + self.condition(condition)
        values, gate = gates.chunk(2, -1)
        y = self.dropout(values.tanh() * gate.sigmoid())
        if self.project is not None:
            y = self.project(y)
        return (x + y if self.residual else y), gates


class Stack(nn.Module):
    """The layers of one stack.

    Args:
        layers: its `GatedLayer` modules, in order.
    """

    def __init__(self, layers: Sequence[GatedLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, x: Tensor, links: Sequence[Tensor], condition: Tensor | None, run: Run
    ) -> tuple[Tensor, list[Tensor]]:
        """The last layer's output, and each layer's output for the next stack.

        Args:
            x: embedded codes.
            links: outputs of the previous stack, empty for the first stack.
            condition: vectors to add, or None.
            run: how to apply a convolution.
        """
        passed = []
        for number, layer in enumerate(self.layers):
            x, gates = layer(x, links[number] if links else None, condition, run)
            passed.append(gates)
        return x, passed


@component("prior", "pixelcnn")
class PixelCNN(ConvolutionalPrior):
    """Gated PixelCNN without blind spot, for grids of 1, 2 or 3 axes.

    On an image, a vertical stack sees all rows above, and a horizontal stack sees the places to the
    left in a position's row; each layer of the first feeds its neighbour in the second. On D axes
    there are D stacks: stack d sees everything before a position along axis d at the same place on
    earlier axes, and gets the rest from stack d - 1.

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on.
        hidden: channels C of every stack.
        layers: layers of every stack; the first is strictly causal.
        kernel: odd width of the convolutions; with `layers` it sets how far back the prior sees.
        dropout: probability in [0, 1) that a gated value becomes 0 in training.

    Raises:
        OptionError: `kernel` is even, or an option is out of range.

    Example:
        >>> prior = PixelCNN(CodeGrid((512,), (8, 8)), hidden=32, layers=4)
        >>> codes = prior.sample((2, 8, 8), seed=0)
        >>> codes.shape, prior.log_prob(codes).shape
        (torch.Size([2, 8, 8]), torch.Size([2]))

    Source: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
    sections 2.1 to 2.3. Codes enter through an embedding, the symbols of a position through the
    head; as in the paper, the vertical stack has no residual connections.
    """

    def __init__(
        self,
        codes: CodeGrid,
        conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
        *,
        hidden: Annotated[int, Ge(1)] = 128,
        layers: Annotated[int, Ge(1)] = 10,
        kernel: Annotated[int, Ge(3)] = 5,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__(codes, conditioning, hidden, dropout)
        if kernel % 2 == 0:
            raise OptionError(
                f"PixelCNN.kernel: expected an odd number, got {kernel}; use {kernel + 1}"
            )
        axes = len(codes.grid)

        def layer(axis: int, number: int) -> GatedLayer:
            return GatedLayer(
                hidden,
                axes,
                axis,
                kernel,
                first=number == 0,
                conditioned=self.encoder is not None,
                dropout=dropout,
            )

        self.stacks = nn.ModuleList(
            Stack([layer(axis, number) for number in range(layers)]) for axis in range(axes)
        )

    def features(self, embedded: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, *grid, C) of embedded codes (B, *grid, C); see `ConvolutionalPrior`."""
        x = embedded
        links: list[Tensor] = []
        for stack in self.stacks:
            x, links = stack(embedded, links, condition, lambda conv, x: conv(x))
        return x

    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> PixelCNNDecoding:
        """Start cached decoding; see `Prior`."""
        return PixelCNNDecoding(self, batch, grid, condition)

    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """Codes and condition of all positions, the last slabs of each layer; see `Prior`."""
        convolutions = [part for part in self.modules() if isinstance(part, StackConvolution)]
        slabs = sum(conv.taps + 4 for conv in convolutions)  # 4: the gates are twice as wide
        vectors = math.prod(grid) + slabs * math.prod(grid[1:])
        return self.vector_bytes * vectors + self.condition_bytes(grid)


class PixelCNNDecoding(PositionDecoding):
    """Cached decoding: each stack computes a slab as soon as all before it is known.

    The vertical stack of an image runs once per row, for the whole row; the horizontal one once
    per position. A layer keeps the last ``taps - 1`` slabs of its input.
    """

    def __init__(
        self, prior: PixelCNN, batch: int, grid: Sequence[int], condition: Condition
    ) -> None:
        super().__init__(prior, batch, grid)
        self._stacks = prior.stacks
        self._condition = prior.encode_condition(condition, self.grid)
        self._codes = next(prior.parameters()).new_zeros(batch, *self.grid, prior.hidden)
        self._done = 0
        self._passed: list[list[Tensor]] = [[] for _ in self._stacks]
        self._slabs: dict[StackConvolution, Tensor] = {}
        self._matrices: dict[StackConvolution, Tensor] = {}

    def advance(self, index: tuple[int, ...], before: Tensor | None) -> Tensor:
        """Features (B, C) of the position at `index`."""
        if before is not None:
            self._codes.view(self.batch, -1, before.shape[-1])[:, self._done] = before
            self._done += 1
        x, condition = self._codes, self._condition
        for axis, stack in enumerate(self._stacks):
            if condition is not None:
                condition = at(condition, axis, index)
            if any(index[axis + 1 :]):
                continue  # its slab still holds
            links = [at(gates, axis, index) for gates in self._passed[axis - 1]] if axis else []
            run = self._runner(index[: axis + 1])
            x, self._passed[axis] = stack(self._codes, links, condition, run)
        return x.flatten(1)

    def _runner(self, place: tuple[int, ...]) -> Run:
        """A function that convolves the slab at `place`, the indices of axes 0 to d."""

        def run(conv: StackConvolution, x: Tensor) -> Tensor:
            window = self._window(conv, x, place)
            if conv.axis + 1 < conv.axes:
                return conv.slabs(window)
            # a slab of the last axis is a position: there one matrix product is the convolution
            if conv not in self._matrices:
                self._matrices[conv] = conv.weight.flatten(2).transpose(1, 2).flatten(1)
            out = linear(window.flatten(1), self._matrices[conv], conv.bias)
            return out.reshape(len(out), *(1 for _ in place), -1)

        return run

    def _window(self, conv: StackConvolution, x: Tensor, place: tuple[int, ...]) -> Tensor:
        """The slabs that a convolution at `place` needs; x is the last unless it is strict."""
        if conv.strict:
            return self._codes_before(place, conv.taps)
        axis = len(place)
        kept = self._slabs.get(conv)
        if kept is None or place[-1] == 0:
            kept = x.new_zeros(*x.shape[:axis], conv.taps - 1, *x.shape[axis + 1 :])
        window = torch.cat([kept, x], axis)
        self._slabs[conv] = window.narrow(axis, 1, conv.taps - 1)
        return window

    def _codes_before(self, place: tuple[int, ...], count: int) -> Tensor:
        """The `count` slabs of embedded codes before `place`, with zeros before the first."""
        codes = self._codes
        for axis in range(len(place) - 1):
            codes = at(codes, axis, place)
        axis, start = len(place), max(place[-1] - count, 0)
        codes = codes.narrow(axis, start, place[-1] - start)
        missing = count - codes.shape[axis]
        if not missing:
            return codes
        zeros = codes.new_zeros(*codes.shape[:axis], missing, *codes.shape[axis + 1 :])
        return torch.cat([zeros, codes], axis)
