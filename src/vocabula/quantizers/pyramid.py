"""Residuals over grids of rising size: the passes down and up all scales of a grid of vectors."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vocabula.functional import distributed, masked_mean
from vocabula.functional.pyramid import INTERPOLATIONS, pooling_matrix, resized
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import values_for_parameters
from vocabula.quantizers.dropout import kept_stages
from vocabula.quantizers.scale import ABSENT, Partly, Scale, like
from vocabula.quantizers.vector import VectorQuantizer
from vocabula.types import Quantized

T = TypeVar("T")
Narrow = Callable[[Any, Tensor], tuple[T, Tensor]]
Each = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]


def _alone(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return network(x)


class Pyramid(Quantizer, ABC):
    """The scales of a `MultiScaleQuantizer`, as tokenizers pass vectors through them.

    Attributes:
        levels: the `Scale` of each.
        quantizers: the distinct quantizers of the scales.
        refinements: the convolutions.
        axes: of the grid.
        interpolation: from a scale to the grid.
        dropout: probability of keeping only some first scales of a signal in training.
        refinement_weight: weight of the refinement terms.
    """

    levels: nn.ModuleList
    quantizers: nn.ModuleList
    refinements: nn.ModuleList
    axes: int
    interpolation: str
    dropout: float
    refinement_weight: float
    _sides: tuple[int, ...]
    _choices: list[int]

    @property
    def scales(self) -> tuple[int, ...]:
        """Positions along each axis, the coarsest first."""
        return self._sides

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid of the vectors, which is that of the last scale."""
        return (self._sides[-1],) * self.axes

    def each_scale(self) -> Iterator[Scale]:
        """The quantizer of each scale, the coarsest first."""
        yield from self.levels  # type: ignore[misc]

    @property
    def distinct(self) -> list[Quantizer]:
        """The quantizers of the scales, a shared one once."""
        return list(self.quantizers)  # type: ignore[arg-type]

    def descend(
        self,
        z: Tensor,
        narrow: Narrow[T],
        *,
        each: Each = _alone,
        mask: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> tuple[list[T], Tensor]:
        """Pass vectors through all scales.

        Args:
            z: (N, *grid, D); along an axis of n times the last scale every scale is n times itself.
            narrow: applied to the quantizer of each scale and the pooled residual (N, *its grid,
                D); returns the result to keep and its values.
            each: applies a network to (N, D, *grid), where signals differ in extent to each alone.
            mask: (N, *grid) bool, the positions that count in the refinement terms; None means all.
            kept: (N, scales) bool, the scales that dropout leaves; None means all.

        Returns:
            What `narrow` returned at each scale, a `Quantized` with its refinement term, and the
            values (N, *grid, D).
        """
        found: list[T] = []
        total = torch.zeros_like(z)
        for i, scale in enumerate(self.each_scale()):
            here = None if kept is None else kept[:, i]
            left = self._pooled(z - total.detach(), i, each)
            quantizer: Any = scale if here is None else Partly(scale, here)
            one, values = narrow(quantizer, left)
            added = self._raised(_carried(scale, left, one, values), i, each)
            total = total + (added if here is None else torch.where(like(here, added), added, 0))
            if isinstance(one, Quantized):
                one = self._with_refinement(one, z, total, _both(mask, here, z))  # type: ignore[assignment]
            found.append(one)
        return found, total + (z - z.detach())

    def ascend(self, values: Sequence[Tensor], grid: Sequence[int] | None = None) -> Tensor:
        """The sum (N, *grid, D) of the values (N, *its grid, D) of the first scales.

        Args:
            values: the codewords of each scale.
            grid: of the sum; None is that of the last scale.
        """
        grid = self.grid if grid is None else grid
        raised = [self._raised(one, i, _alone, grid) for i, one in enumerate(values)]
        total = torch.zeros_like(raised[0])
        for one in raised:
            total = total + one
        return total

    def keep(self, z: Tensor) -> Tensor | None:
        """Which scales (N, scales) dropout leaves of signals z (N, ...); None for all."""
        if not self.training or self.frozen or self.dropout == 0:
            return None
        return kept_stages(len(z), len(self.scales), self.dropout, 1, 1, z.device)

    def fit(self, z: Tensor, mask: Tensor | None, each: Each = _alone) -> None:
        """Fit shared codebooks to vectors z (N, *grid, D) of all scales where that is due.

        Each scale would otherwise have its own call, and the first, which has the fewest vectors,
        would set the codebook of all.

        Args:
            z: the vectors.
            mask: (N, *grid) bool, the positions that count.
            each: see `descend`.
        """
        for book in self.distinct:
            places = [i for i, s in enumerate(self.each_scale()) if s.quantizer is book]
            if len(places) == 1 or not isinstance(book, VectorQuantizer):
                continue
            if book.learning_active and book._fitting():
                self._fit(book, places, z.detach(), mask, each)

    # ------------------------------------------------------------- one scale

    def _grid_of(self, position: int, grid: Sequence[int]) -> list[int]:
        """The grid of a scale for vectors on a grid of whole blocks."""
        return [size // self._sides[-1] * self._sides[position] for size in grid]

    def _pooled(self, x: Tensor, position: int, each: Each) -> Tensor:
        """The means (N, *its grid, D) of vectors (N, *grid, D)."""

        def pool(part: Tensor) -> Tensor:
            inner = part.movedim(1, -1)
            to = self._grid_of(position, inner.shape[1:-1])
            return resized(inner, to, pooling_matrix).movedim(-1, 1)

        return each(pool, x.movedim(-1, 1)).movedim(1, -1)

    def _raised(
        self,
        values: Tensor,
        position: int,
        each: Each = _alone,
        grid: Sequence[int] | None = None,
    ) -> Tensor:
        """What a scale adds (N, *grid, D): its values (N, *its grid, D), interpolated and phi."""
        matrix, own = INTERPOLATIONS[self.interpolation], self._sides[position]

        def rise(part: Tensor) -> Tensor:
            inner = part.movedim(1, -1)
            to = grid or [size // own * self._sides[-1] for size in inner.shape[1:-1]]
            raised = resized(inner, to, matrix)
            if len(self.refinements):
                raised = self.refinements[self._choices[position]](raised)
            return raised.movedim(-1, 1)

        return each(rise, values.movedim(-1, 1)).movedim(1, -1)

    def _with_refinement(
        self, one: Quantized, z: Tensor, total: Tensor, mask: Tensor | None
    ) -> Quantized:
        """The result of a scale, with the term that trains the convolutions."""
        rows = None if mask is None else mask.flatten()
        term = masked_mean((z.detach() - total).square().reshape(-1, self.dim), rows)
        loss = one.loss + self.refinement_weight * term
        return replace(one, loss=loss, losses=one.losses | {"refinement": term})

    @torch.no_grad()
    def _fit(
        self,
        book: VectorQuantizer,
        places: Sequence[int],
        z: Tensor,
        mask: Tensor | None,
        each: Each,
    ) -> None:
        total, seen, inside, cells = torch.zeros_like(z), [], [], []
        for i in range(len(self._sides)):
            left = self._pooled(z - total, i, each)
            total = total + self._raised(left, i, each)
            if i in places:
                seen.append(left.reshape(-1, self.dim))
                cells.append(distributed.item_rows(len(z)) * math.prod(left.shape[1:-1]))
                inside.append(_pooled_mask(mask, left, self._sides[i], self._sides[-1]))
        with distributed.parts(cells):
            book._fit(book._inner(torch.cat(seen)), torch.cat(inside))


def _carried(scale: Scale, left: Tensor, one: object, values: Tensor) -> Tensor:
    """The scale's values, with gradients to its parameters but not to the residual."""
    trained = torch.is_grad_enabled() and any(p.requires_grad for p in scale.quantizer.parameters())
    if not (trained and isinstance(one, Quantized)):
        return values.detach()
    codes = torch.where(one.codes == ABSENT, 0, one.codes).reshape(-1, *scale.code_shape)
    rows = left.detach().reshape(-1, scale.dim).to(scale.compute_dtype)
    return values_for_parameters(scale.quantizer, rows, codes).reshape(left.shape)


def _both(mask: Tensor | None, here: Tensor | None, z: Tensor) -> Tensor | None:
    """The positions (N, *grid) inside the mask of signals (N,) that are here; None means all."""
    if here is None:
        return mask
    positions = like(here, z[..., 0]).expand(z.shape[:-1])
    return positions if mask is None else positions & mask


def _pooled_mask(mask: Tensor | None, left: Tensor, side: int, whole: int) -> Tensor:
    """The rows (n,) of a scale's vectors (N, *its grid, D) that the mask (N, *grid) has."""
    if mask is None:
        return torch.ones(left.shape[:-1], dtype=torch.bool, device=left.device).flatten()
    for axis, size in enumerate(left.shape[1:-1], start=1):  # cell i lies in block i // side
        places = torch.arange(size, device=mask.device) // side * whole
        mask = mask.index_select(axis, places)
    return mask.flatten()
