"""A prior whose probabilities integers can compute: the same bits on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.functional import linear

from vocabula.errors import OptionError
from vocabula.priors.coarser import phases_of, step_between
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.context import (
    Context,
    Runs,
    as_planes,
    is_series,
    margin,
    table_rows,
    tap_count,
)
from vocabula.priors.decoding import Decoding
from vocabula.priors.fixed_point import curve, values, weights
from vocabula.priors.prior import Prior
from vocabula.registry import component
from vocabula.signals import Condition

LARGEST_SYMBOL = 1024
"""Values of a symbol at most: a table of probabilities is written out for each."""
POSITION_BYTES = 128
"""What the place of a position takes: signal, row, column, index, wave, order, and copies."""


class SymbolNetwork(nn.Module):
    """Logits of a symbol from the embeddings of its context, all in fixed-point steps.

    ::

        h = first(x) + sum of phases      h = h + B curve(A curve(h)), some times
        logits = last(curve(h))

    Args:
        inputs: number of inputs.
        phases: f x f for each coarser level; see `Context.phases`.
        hidden: width of h.
        layers: residual blocks.
        outputs: values of the symbol V.
    """

    def __init__(
        self, inputs: int, phases: Sequence[int], hidden: int, layers: int, outputs: int
    ) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.phases = nn.ParameterList(nn.Parameter(torch.zeros(n, hidden)) for n in phases)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        outer = [nn.Linear(hidden, hidden) for _ in range(layers)]
        for layer in outer:  # every block begins as zero
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.outer = nn.ModuleList(outer)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, phases: Sequence[Tensor], *, steps: bool = True) -> Tensor:
        """Logits (M, V) of embeddings (M, inputs); without `steps` plain floating point."""
        on_grid = values if steps else lambda x: x
        matrix = weights if steps else lambda x: x

        def apply(layer: Any, x: Tensor) -> Tensor:
            return linear(x, matrix(layer.weight)) + on_grid(layer.bias)

        def activate(x: Tensor) -> Tensor:
            return on_grid(curve(x))

        h = apply(self.first, x)
        for table, phase in zip(self.phases, phases, strict=True):
            h = h + on_grid(table)[phase]
        h = on_grid(h)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            change = apply(outer, activate(on_grid(apply(inner, activate(h)))))
            h = on_grid(h + change)
        return on_grid(apply(self.last, activate(h)))


@component("prior", "portable")
class PortablePrior(Prior):
    """A prior for files: small integers throughout, and no state between positions.

    Each symbol has its own network, which predicts it from symbols at fixed earlier places: those
    of its own book at most `reach` away, those of earlier books, and those of coarser levels around
    it. In training embeddings, weights and values are rounded to the steps of `fixed_point`;
    `vocabula.codec.PortableModel` computes the same with integers alone, on every machine bit for
    bit.

    It takes no class, no text and the like: a file does not know them. Books depend only on earlier
    books, so that the stages of a file can be cut off.

    Args:
        codes: what the codes look like; of 1 or 2 axes; a grid of one position, (1,), is that of
            signals without axes.
        conditioning: coarser levels, if there are any.
        hidden: width of the networks.
        layers: residual blocks of each.
        embedding: width of the embeddings.
        reach: how many rows and columns away the symbols are that a symbol looks at; along one
            axis, how many positions before it.

    Raises:
        OptionError: the grid has more than 2 axes, levels differ in their axes, there are classes
            or text, or an option is out of range.

    Example:
        >>> prior = PortablePrior(CodeGrid((512,), (8, 8)), hidden=32)
        >>> prior.log_prob(prior.sample((2, 8, 8), seed=0)).shape
        torch.Size([2])

    Source: ours; look-up of neighbours' embeddings as in Bengio et al. 2003, "A Neural
    Probabilistic Language Model"; integers so that coders agree: Balle et al. 2019, "Integer
    Networks for Data Compression with Latent-Variable Models".
    """

    conditional: ClassVar[bool] = False

    def __init__(
        self,
        codes: CodeGrid,
        conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        layers: Annotated[int, Ge(0)] = 3,
        embedding: Annotated[int, Ge(1)] = 24,
        reach: Annotated[int, Ge(1)] = 4,
    ) -> None:
        codes, *upper = (
            replace(grid, largest_symbol=min(grid.largest_symbol, LARGEST_SYMBOL))
            for grid in (codes, *conditioning.upper)
        )
        super().__init__(codes, conditioning)
        axes = {(len(grid.grid), is_series(grid)) for grid in (codes, *upper)}
        if len(axes) > 1 or len(codes.grid) > 2:
            grids = ", ".join(str(grid.grid) for grid in (codes, *upper))
            raise OptionError(
                f"portable.codes: expected grids of 1 or 2 axes, the same for all levels, got "
                f"{grids}; use another prior: pixelcnn, pixelsnail or transformer"
            )
        if conditioning.withholdable:
            raise OptionError(
                "portable.conditioning: expected no class and no text, which a file does not know, "
                "got some; leave all conditions but codes out (--no-classes, no --captions)"
            )
        self.reach, self.upper = reach, tuple(upper)
        self.factors = tuple(_factors(codes.grid, grid.grid) for grid in upper)
        rows = sum(map(table_rows, (codes, *upper)))
        self.table = nn.Parameter(torch.randn(rows, embedding))
        self.networks: Any = nn.ModuleList(
            SymbolNetwork(
                embedding * tap_count(codes, upper, slot, reach),
                [phases_of(down) * phases_of(right) for down, right in self.factors],
                hidden,
                layers,
                size,
            )
            for slot, size in enumerate(codes.symbol_sizes)
        )
        self.steps = True

    def context(self, runs: Runs, coarse: Sequence[tuple[Runs, Tensor]]) -> Context:
        """The context of the predictions for grids; see `Context`."""
        return Context(self.codes, self.upper, self.factors, self.reach, runs, coarse, self.device)

    def network_logits(self, context: Context, slot: int, which: Tensor | slice) -> Tensor:
        """Logits (M, V) of a symbol of positions (M,), given the context."""
        table = values(self.table) if self.steps else self.table
        x = table[context.rows(slot, which)].flatten(1)
        logits: Tensor = self.networks[slot](x, context.phases(which), steps=self.steps)
        return logits

    def symbol_logits(self, symbols: Tensor, condition: Condition) -> list[Tensor]:
        """Logits (B, *grid, V_s) of every symbol given all before it; see `Prior`."""
        batch, *grid = symbols.shape[:-1]
        context = self._context(batch, tuple(grid), condition)
        every = slice(None)
        for slot in range(symbols.shape[-1]):
            context.own.put(slot, every, symbols[..., slot].flatten())
        return [
            self.network_logits(context, slot, every).reshape(batch, *grid, -1)
            for slot in range(symbols.shape[-1])
        ]

    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> Decoding:
        """Start decoding; see `Prior`."""
        return _PortableDecoding(self, batch, self._context(batch, tuple(grid), condition))

    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """The places of all symbols with their margins, and of all positions; see `Prior`."""
        symbols = sum(len(codes.slots) for codes in (self.codes, *self.upper))
        around = margin(self.codes, self.reach)
        ((count, sides),) = as_planes(self.codes, [(1, tuple(grid))])
        wide = count * math.prod(n + 2 * more for n, more in zip(sides, around, strict=True))
        return 8 * symbols * wide + POSITION_BYTES * math.prod(grid)

    def embeddings(self) -> list[list[Tensor]]:
        """What embeds each symbol, of this and of coarser levels; see `Prior`."""
        found, first = [], 0
        for grid in (self.codes, *self.upper):
            tables = []
            for size in grid.symbol_sizes:
                tables.append(self.table[first : first + size])
                first += size + 1
            found.append(tables)
        return found

    def _context(self, batch: int, grid: tuple[int, ...], condition: Condition) -> Context:
        coarse, axes = [], len(grid)
        for codes, known in zip(self.upper, condition.upper, strict=True):
            runs = as_planes(codes, [(batch, tuple(known.shape[1 : 1 + axes]))])
            coarse.append((runs, codes.split(known).flatten(0, axes)))
        return self.context(as_planes(self.codes, [(batch, grid)]), coarse)


def _factors(grid: tuple[int, ...], coarser: tuple[int, ...]) -> tuple[Fraction, Fraction]:
    """Positions to one of a coarser grid, down and across."""
    down, right = map(step_between, (1, *grid)[-2:], (1, *coarser)[-2:])
    return down, right


class _PortableDecoding(Decoding):
    """Decoding in raster order: each symbol looks at those already pushed."""

    def __init__(self, prior: PortablePrior, batch: int, context: Context) -> None:
        self._prior, self._context, self._next = prior, context, 0
        self._slots = len(prior.codes.slots)
        self._each = context.positions // batch
        self._first = torch.arange(batch, device=prior.device) * self._each

    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""
        position, slot = divmod(self._next, self._slots)
        return self._prior.network_logits(self._context, slot, self._first + position)

    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""
        position, slot = divmod(self._next, self._slots)
        self._context.own.put(slot, self._first + position, symbol)
        self._next += 1
