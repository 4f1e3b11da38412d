"""Padded batches: every network sees each signal alone, cropped to its own extent.

::

    x (B, C, *extent)     +-------+--+    signals of equal extent form a group; a network gets a
    mask (B, *extent)     |signal |  |    group without its padding, and what the network makes of
                          +-------+  |    it is put back into a grid of the whole batch, which is 0
                          |  padding |    elsewhere
                          +----------+

So the padding reaches no convolution, no attention and no normalization. A network that says that
padding does not reach what it makes (`Encoder.causal`, `Encoder.masked`) gets the whole batch at
once in training, where many short groups would be slow. The bottleneck gets the whole grid once,
with the mask of its positions: batch statistics count every real vector once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from vocabula.errors import CodeError, DataError
from vocabula.functional._checks import check_tensor
from vocabula.functional.modes import readable
from vocabula.nn.base import Decoder, Encoder
from vocabula.quantizers.base import Quantizer
from vocabula.signals import Condition
from vocabula.signals.codes import OUTSIDE, cells
from vocabula.tokenizers.extent import cropped, padded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """The signals of a batch that have the same extent.

    Attributes:
        rows: (n,) int64, which signals they are.
        extent: their own, without padding.
    """

    rows: Tensor
    extent: tuple[int, ...]

    def of(self, x: Tensor) -> Tensor:
        """The signals (n, C, *extent), from x (B, C, at least *extent)."""
        return cropped(x[self.rows], self.extent)

    def codes(self, levels: Sequence[Tensor], grids: Sequence[Sequence[int]]) -> list[Tensor]:
        """The codes (n, *grid, *code_shape) of every level, from those of the batch."""
        pairs = zip(levels, grids, strict=True)
        return [code[self.rows][:, *(slice(size) for size in grid)] for code, grid in pairs]


class Blocks:
    """Where the signals of a batch are: each is a leading block along every axis.

    Args:
        mask: (B, *extent) bool; None if every signal fills the batch. Networks then see the batch
            as it is.
        strides: elements of the signal per code of the coarsest level, along each axis.

    Attributes:
        mask: see above.
        groups: the signals by extent; signals without any element are in none.

    Raises:
        DataError: the elements of a signal are no leading block.
    """

    def __init__(self, mask: Tensor | None = None, strides: Sequence[int] = ()) -> None:
        self.mask = mask
        self.groups: list[Group] = []
        self._strides = strides
        if mask is not None:
            self.groups = _groups(mask) or [_nothing(mask)]

    # ------------------------------------------------------- around one network

    def padded(self, x: Tensor, strides: Sequence[int]) -> Tensor:
        """Signals (B, C, *extent), each continued by its last element to multiples of `strides`."""
        if self.mask is None:
            return padded(x, strides)
        parts = self.parts(lambda group: padded(group.of(x), strides))
        return self.place(parts, self._whole(x.shape[2:]), lead=2)

    def each(
        self,
        network: Callable[..., Tensor],
        *inputs: Tensor,
        conditional: bool = False,
        condition: Condition | None = None,
    ) -> Tensor:
        """What a network makes of every group alone, 0 outside of them.

        Args:
            network: maps tensors (n, C, *extent) to one, in which every axis is scaled.
            inputs: (B, C, *extent) of signals that `padded` made, or of their grids.
            conditional: whether the network takes what is known of the signals, last.
            condition: what is known of them; None for nothing.
        """
        given = (condition,) if conditional else ()
        if self.mask is None:
            return network(*inputs, *given)
        if isinstance(network, Encoder | Decoder) and (network.causal or network.masked):
            return self._together(network, inputs, given)
        whole = self._whole(self.mask.shape[1:])
        sizes = inputs[0].shape[2:]
        parts, scaled = [], list(sizes)
        for group in self.groups:
            own = self._whole(group.extent)
            seen = Group(group.rows, _scaled(own, sizes, whole))
            part = network(
                *(seen.of(one) for one in inputs), *(one and one.rows(group.rows) for one in given)
            )
            scaled = list(_scaled(whole, part.shape[2:], own))
            parts.append(part)
        return self.place(parts, scaled, lead=2)

    def _together(
        self,
        network: Encoder | Decoder,
        inputs: Sequence[Tensor],
        given: Sequence[Condition | None],
    ) -> Tensor:
        """What a network that the padding does not reach makes of the whole batch."""
        sizes, seen = inputs[0].shape[2:], {}
        if network.masked:
            stride = network.stride if isinstance(network, Encoder) else 1
            seen["mask"] = self.positions([size // stride for size in sizes])
        made: Tensor = network(*inputs, *given, **seen)
        inside = self.positions(made.shape[2:])
        assert inside is not None, "the batch is padded"
        return torch.where(inside.unsqueeze(1), made, 0)

    # ------------------------------------------------------------- around many

    def parts(self, run: Callable[[Group], T]) -> list[T]:
        """The result of every group; without any signal, the one of an empty group."""
        return [run(group) for group in self.groups]

    def place(
        self, parts: Sequence[Tensor], extent: Sequence[int], *, lead: int = 1, fill: int = 0
    ) -> Tensor:
        """The results of the groups in one tensor of the whole batch.

        Args:
            parts: (n, *own, ...) of each group; (n, C, *own) with ``lead=2``.
            extent: along the axes of the whole batch.
            lead: dimensions before these axes.
            fill: the value outside of the signals.
        """
        assert self.mask is not None, "signals that fill their batch are not split"
        first, axes = parts[0], slice(lead, lead + len(extent))
        shape = (len(self.mask), *first.shape[1:lead], *extent, *first.shape[axes.stop :])
        placed = first.new_full(shape, fill)
        for group, part in zip(self.groups, parts, strict=True):
            own = tuple(slice(size) for size in part.shape[axes])
            at: tuple[Any, ...] = (group.rows, *[slice(None)] * (lead - 1), *own)
            placed[at] = part
        return placed

    # ---------------------------------------------------------------- the mask

    def positions(self, grid: Sequence[int]) -> Tensor | None:
        """Which positions (B, *grid) hold codes of a signal; None means all."""
        if self.mask is None:
            return None
        whole = self._whole(self.mask.shape[1:])
        parts = [
            self.mask.new_ones(len(group.rows), *_scaled(self._whole(group.extent), grid, whole))
            for group in self.groups
        ]
        return self.place(parts, grid)

    def elements(self, x: Tensor) -> Tensor:
        """The elements inside the signals x (B, C, *extent), as one signal (1, C, n, 1, ...).

        Without an axis each is a signal: (n, C).
        """
        if self.mask is None:
            return x
        rows = x.movedim(1, -1)[self.mask]
        if x.ndim == 2:
            return rows
        return rows.t().reshape(1, x.shape[1], len(rows), *[1] * (x.ndim - 3))

    def inside(self, x: Tensor) -> Tensor:
        """Signals x (B, C, *extent), 0 outside."""
        return x if self.mask is None else torch.where(self.mask.unsqueeze(1), x, 0)

    def _whole(self, extent: Sequence[int]) -> tuple[int, ...]:
        """An extent, continued to whole codes of the coarsest level."""
        counts = cells(extent, self._strides)
        return tuple(n * stride for n, stride in zip(counts, self._strides, strict=True))


WHOLE = Blocks()
"""Signals that fill their batch."""


def blocks_of(
    mask: Tensor | None, batch: int, extent: Sequence[int], strides: Sequence[int]
) -> Blocks:
    """Where the signals of a batch are.

    Args:
        mask: (B, *extent) bool, True where a signal is; None if they fill the batch.
        batch: B.
        extent: of the batch.
        strides: elements per code of the coarsest level, along each axis.

    Raises:
        DataError: another shape or dtype, or the elements of a signal are no leading block.
    """
    if mask is None:
        return WHOLE
    check_tensor("mask", mask, DataError)
    if mask.dtype != torch.bool or mask.shape != (batch, *extent):
        raise DataError(
            f"mask: expected bool of shape {(batch, *extent)}, got {mask.dtype} of "
            f"{tuple(mask.shape)}; give one value for each element of a signal"
        )
    return WHOLE if bool(mask.all()) else Blocks(mask, strides)


def decoded(quantizer: Quantizer, codes: Tensor) -> Tensor:
    """The quantizer's vectors of codes, none of which may be `OUTSIDE` in every book.

    Raises:
        CodeError: the codes are not the quantizer's.
    """
    try:
        values = quantizer.decode(codes)
    except CodeError:
        _refuse_outside(quantizer, codes)
        raise
    if quantizer._lowest_code() == OUTSIDE:  # it takes the code for something else
        _refuse_outside(quantizer, codes)
    return values


def _refuse_outside(quantizer: Quantizer, codes: Tensor) -> None:
    outside = codes == OUTSIDE
    found = readable((outside.all(-1) if quantizer.code_shape else outside).any())
    if found is not None and bool(found):
        raise CodeError(
            f"decode: expected codes of signals, got {OUTSIDE}, which encode gives outside of "
            "a signal; give decode the same mask"
        ) from None


def _groups(mask: Tensor) -> list[Group]:
    """The signals of a mask (B, *extent) by extent; those without an element are left out."""
    axes = range(1, mask.ndim)
    block = mask.reshape(len(mask), -1).any(1).reshape(-1, *[1] * len(axes))
    here, sizes = block.flatten().tolist(), []
    for axis in axes:
        others = tuple(other for other in axes if other != axis)
        filled = mask.any(others) if others else mask
        count = filled.sum(1)
        shape = [-1 if other == axis else 1 for other in axes]
        places = torch.arange(mask.shape[axis], device=mask.device).reshape(1, *shape)
        block = block & (places < count.reshape(-1, *[1] * len(axes)))
        sizes.append(count.tolist())
    wrong = (block != mask).reshape(len(mask), -1).any(1).nonzero()
    if len(wrong):
        raise DataError(
            f"mask: expected a leading block of each signal, got another shape in signal "
            f"{int(wrong[0])}; put the padding at the end of every axis"
        )
    found: dict[tuple[int, ...], list[int]] = {}
    for row, given in enumerate(here):
        if given:
            found.setdefault(tuple(size[row] for size in sizes), []).append(row)
    return [
        Group(torch.tensor(rows, device=mask.device), extent)
        for extent, rows in sorted(found.items())
    ]


def _nothing(mask: Tensor) -> Group:
    """A group of no signal, from which results still get their shape and type."""
    return Group(torch.empty(0, dtype=torch.int64, device=mask.device), tuple(mask.shape[1:]))


def _scaled(own: Sequence[int], sizes: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    """The extent `own` of `whole`, in a grid in which the whole has `sizes` positions."""
    return tuple(n * size // all_ for n, size, all_ in zip(own, sizes, whole, strict=True))
