"""A prior whose probabilities integers can compute: the same bits on every machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout, linear

from vocabula.errors import OptionError
from vocabula.priors.coarser import phases_of, step_between
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.context import (
    Context,
    RasterContext,
    Seen,
    as_planes,
    by_kind,
    is_series,
    margin,
    table_rows,
    tap_count,
)
from vocabula.priors.decoding import Decoding
from vocabula.priors.fixed_point import curve, values, weights
from vocabula.priors.interleaved import (
    KINDS,
    SCALES,
    InterleavedContext,
    input_count,
    scale_and_kind,
)
from vocabula.priors.planes import Runs
from vocabula.priors.prior import Prior
from vocabula.registry import component
from vocabula.signals import Condition

REACH = 4
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
        inputs: number of inputs; of several, one for each kind of position, see `Context.kinds`.
        phases: f x f for each coarser level; see `Context.phases`.
        hidden: width of h.
        layers: residual blocks.
        outputs: values of the symbol V.
        dropout: probability in [0, 1) that an input or a value within a block is 0 in training.
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        phases: Sequence[int],
        hidden: int,
        layers: int,
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        counts = [inputs] if isinstance(inputs, int) else inputs
        each = [nn.Linear(count, hidden) for count in counts]
        self.first: Any = each[0] if len(each) == 1 else nn.ModuleList(each)
        self.dropout = dropout
        self.phases = nn.ParameterList(nn.Parameter(torch.zeros(n, hidden)) for n in phases)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        outer = [nn.Linear(hidden, hidden) for _ in range(layers)]
        for layer in outer:  # every block begins as zero
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.outer = nn.ModuleList(outer)
        self.last = nn.Linear(hidden, outputs)

    @property
    def firsts(self) -> list[nn.Linear]:
        """The first layer of each kind of position."""
        several: Any = self.first if isinstance(self.first, nn.ModuleList) else [self.first]
        return list(several)

    def forward(
        self, x: Tensor, phases: Sequence[Tensor], *, kind: int = 0, steps: bool = True
    ) -> Tensor:
        """Logits (M, V) of embeddings (M, inputs); without `steps` plain floating point."""
        on_grid = values if steps else lambda x: x
        matrix = weights if steps else lambda x: x

        def apply(layer: Any, x: Tensor) -> Tensor:
            return linear(x, matrix(layer.weight)) + on_grid(layer.bias)

        def activate(x: Tensor) -> Tensor:
            return on_grid(curve(x))

        def withheld(x: Tensor) -> Tensor:
            return dropout(x, self.dropout, self.training) if self.dropout else x

        h = apply(self.firsts[kind], withheld(x))
        for table, phase in zip(self.phases, phases, strict=True):
            h = h + on_grid(table)[phase]
        h = on_grid(h)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            change = apply(outer, withheld(activate(on_grid(apply(inner, activate(h))))))
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

    The order says which positions come first, and so what a position can look at: `raster` row by
    row, with what is above and at the left; `interleaved` grids of twice the resolution again and
    again, with context on all sides, in so few passes that decoding is several times as fast.

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
        order: of the positions; interleaved needs grids of 2 axes.
        dropout: probability in [0, 1) that an input or a value within a block is 0 in training.

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
    added_options: ClassVar[tuple[str, ...]] = ("order", "dropout")

    def __init__(
        self,
        codes: CodeGrid,
        conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        layers: Annotated[int, Ge(0)] = 3,
        embedding: Annotated[int, Ge(1)] = 24,
        reach: Annotated[int, Ge(1)] = REACH,
        order: Literal["raster", "interleaved"] = "raster",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
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
        if order == "interleaved" and len(codes.grid) != 2:
            raise OptionError(
                f"portable.order: expected raster for a grid of {len(codes.grid)} axis, got "
                "interleaved; it needs rows and columns"
            )
        self.reach, self.order, self.upper = reach, order, tuple(upper)
        self.factors = tuple(_factors(codes.grid, grid.grid) for grid in upper)
        rows = sum(map(table_rows, (codes, *upper)))
        self.table = nn.Parameter(torch.randn(rows, embedding))
        self.networks: Any = nn.ModuleList(
            SymbolNetwork(
                [embedding * count for count in self._seen(slot)],
                self._phases(),
                hidden,
                layers,
                size,
                dropout,
            )
            for slot, size in enumerate(codes.symbol_sizes)
        )
        self.steps = True

    def context(self, runs: Runs, coarse: Sequence[tuple[Runs, Tensor]]) -> Context:
        """The context of the predictions for grids; see `Context`."""
        make = InterleavedContext if self.order == "interleaved" else RasterContext
        seen = Seen(self.codes, self.upper, self.factors, runs, coarse, self.device)
        return make(seen, self.reach)

    def network_logits(self, context: Context, slot: int, which: Tensor | slice) -> Tensor:
        """Logits (M, V) of a symbol of positions (M,), given the context."""
        table = values(self.table) if self.steps else self.table

        def logits(part: Tensor | slice, kind: int) -> Tensor:
            x = context.inputs(table, slot, part, kind)
            found: Tensor = self.networks[slot](
                x, context.phases(part), kind=kind, steps=self.steps
            )
            return found

        return by_kind(context, which, logits)

    @classmethod
    def surround(cls, settings: Mapping[str, Any]) -> int:
        """The reach; in interleaved order that of two scales, see `Prior.surround`."""
        reach = int(settings.get("reach", REACH))
        return 2 * reach if settings.get("order") == "interleaved" else reach

    def loss(self, codes: Tensor, condition: Condition | None = None) -> Tensor:
        """Nats per code, also of codes with a margin of context; see `Prior` and `Condition`."""
        if condition is None or not condition.margin:
            return super().loss(codes, condition)
        down, right = condition.margin
        symbols, inside = _with_outside(self.codes, codes.to(self.device))
        coarse = [_with_outside(*pair)[0] for pair in zip(self.upper, condition.upper, strict=True)]
        batch, height, width, _ = symbols.shape
        learned = torch.zeros_like(inside)
        learned[:, down : height - down, right : width - right] = True
        which = (learned & inside).flatten().nonzero()[:, 0]
        runs = [(batch, (height, width))]
        its = [((batch, tuple(part.shape[1:3])),) for part in coarse]
        flat = [part.flatten(0, 2).to(self.device) for part in coarse]
        context = self.context(runs, list(zip(its, flat, strict=True)))
        if isinstance(context, InterleavedContext):
            context.shift(_random_starts(batch, self.factors))
        total = self.table.new_zeros(())
        for slot in range(len(self.codes.slots)):
            context.own.put(slot, slice(None), symbols[..., slot].flatten())
        for slot in range(len(self.codes.slots)):
            known = symbols.flatten(0, 2)[which]
            logits = self.codes.forbid(self.network_logits(context, slot, which), slot, known)
            total = total + cross_entropy(logits, known[:, slot], reduction="sum")
        return total / max(1, len(which) * len(self.codes.codebook_sizes))

    def visits(self, grid: Sequence[int]) -> list[tuple[int, int]]:
        """In interleaved order book after book; see `Prior`."""
        if self.order == "raster":
            return super().visits(grid)
        height, width = grid
        place = torch.arange(height * width)
        scale, kind = scale_and_kind(place // width, place % width)
        order = (kind - KINDS * scale).argsort(stable=True).tolist()
        books = [
            [number for number, slot in enumerate(self.codes.slots) if slot.book == book]
            for book in range(len(self.codes.codebook_sizes))
        ]
        return [(position, slot) for slots in books for position in order for slot in slots]

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
        context = self._context(batch, tuple(grid), condition)
        return _PortableDecoding(self, batch, context, self.visits(grid))

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

    def _seen(self, slot: int) -> list[int]:
        """How many embeddings a symbol sees, for each kind of position."""
        if self.order == "raster":
            return [tap_count(self.codes, self.upper, slot, self.reach)]
        return [input_count(self.codes, self.upper, slot, self.reach, k) for k in range(KINDS)]

    def _phases(self) -> list[int]:
        """How many vectors each table has that is added by place; see `Context.phases`."""
        coarse = [phases_of(down) * phases_of(right) for down, right in self.factors]
        return coarse if self.order == "raster" else [*coarse, SCALES]

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


def _with_outside(codes: CodeGrid, given: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols (B, *grid, S), V_s outside of a signal, where codes are -1; and what is inside."""
    books = given.reshape(*given.shape[:3], -1)
    inside = (books >= 0).all(-1)
    known = given.clamp(min=0)
    codes.check(known)
    sizes = torch.tensor(codes.symbol_sizes, device=given.device)
    return torch.where(inside[..., None], codes.split(known), sizes), inside


def _random_starts(batch: int, factors: Sequence[tuple[Fraction, Fraction]]) -> Tensor:
    """Where crops may begin in larger signals (B, 2): at a position of every coarser level."""
    down, right = (math.lcm(*(step[axis].numerator for step in factors)) for axis in range(2))
    return torch.randint(2**SCALES, (batch, 2)) * torch.tensor([down, right])


class _PortableDecoding(Decoding):
    """Decoding in the prior's order: each symbol looks at those already pushed."""

    def __init__(
        self,
        prior: PortablePrior,
        batch: int,
        context: Context,
        visits: Sequence[tuple[int, int]],
    ) -> None:
        self._prior, self._context, self._next, self._visits = prior, context, 0, visits
        self._each = context.positions // batch
        self._first = torch.arange(batch, device=prior.device) * self._each

    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""
        position, slot = self._visits[self._next]
        return self._prior.network_logits(self._context, slot, self._first + position)

    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""
        position, slot = self._visits[self._next]
        self._context.own.put(slot, self._first + position, symbol)
        self._next += 1
