"""What compression with a rate term makes small: the decoded error, and the bits of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vocabula.codec.kinds import in_two
from vocabula.codec.layouts import to_signals
from vocabula.codec.models import EntropyModel
from vocabula.codec.span import Block
from vocabula.codec.stages import discrete, tokenizer_stages
from vocabula.errors import OptionError
from vocabula.quantizers.rate import RateState
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.tiles import Tile, cut_for

LARGEST_WHOLE = 2**22
"""Elements of a signal that passes the decoder whole: gradients hold every feature map."""
PIECE = 2**20
"""Elements that are compared at a time."""
PROBED = 32
"""Positions of the coarsest level along each axis at whose vectors a metric is measured."""
PROBES = 3
"""Random directions of signals that a metric is measured with."""
SHRUNK = 0.9
"""Factor on the vectors at which a metric is measured."""
RIDGE = 1e-3
"""Share of a metric's mean that is added to its diagonal, so that it can be inverted."""


@dataclass
class Objective:
    """Cost of codes of signals: ``||decode(codes) - x||^2 + price bits``, of real messages.

    ::

        price = scale mean(weights) E[v^T M v] / E[v^T v]

    M is the mean of J^T J, what the decoder makes of a change of a vector, so that an error of the
    vectors, which the rate term weighs bits against, becomes one of signals.

    Args:
        tokenizer: in evaluation mode, with rate terms.
        x: (B, C, *extent) as stored.
        model: codes the file.
        scale: a factor on the weight of bits.
        levels: codes of x, at whose vectors M is measured.
    """

    tokenizer: SignalTokenizer
    x: Tensor
    model: EntropyModel
    scale: float
    levels: Sequence[Tensor]

    def __post_init__(self) -> None:
        self.quantizers = discrete(self.tokenizer)
        self.extent = self.x.shape[2:]
        values = self.values(self.levels)
        self.metrics = self._measured(values)
        energy = [value.square().flatten(0, -2).sum(0).double() for value in values]
        pairs = list(zip(energy, self.metrics, strict=True))
        shown = sum(float((e * m.diagonal()).sum()) for e, m in pairs)
        total = sum(float(e.sum()) for e in energy)
        states = [one for one in self.tokenizer.modules() if isinstance(one, RateState)]
        weight = sum(state.rule.weight for state in states) / len(states)
        self.price = self.scale * weight * (shown / total if total else 1.0)

    def values(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The vectors (B, *grid, D) of the codes of each level."""
        pairs = zip(self.quantizers, levels, strict=True)
        return [quantizer.decode(codes).detach() for quantizer, codes in pairs]

    def cost(self, levels: Sequence[Tensor]) -> float:
        """The cost of codes: the error of the signals as they are stored, and whole messages."""
        shown = self.tokenizer.decode_stored(levels, size=self.extent)
        error, to_values = 0.0, self.tokenizer.signal.to_values
        pairs = (one.flatten().split(PIECE) for one in (shown, self.x))
        for made, given in zip(*pairs, strict=True):
            error += float((to_values(made) - to_values(given)).square().sum())
        return error + self.price * self.bits(levels)

    def bits(self, levels: Sequence[Tensor]) -> int:
        """Bits of the messages of all stages."""
        block = self.block(levels)
        return sum(8 * len(self.model.encode(block, stage)) for stage in range(len(block.books)))

    def block(self, levels: Sequence[Tensor]) -> Block:
        """The codes as the entropy model sees them."""
        signals = to_signals(levels, self.extent)
        stages = tokenizer_stages(self.tokenizer, joined=self.model.joins)
        size = signals[0].size if self.extent else in_two((signals[0].streams[0].size,))
        streams = zip(*(signal.streams for signal in signals), strict=True)
        return Block(
            tuple(stage.symbols for stage in stages),
            tuple(((len(signals), stage.grid(size)),) for stage in stages),
            [np.concatenate([one.ravel() for one in each]).astype(np.uint32) for each in streams],
        )

    def gradient(self, values: Sequence[Tensor], level: int) -> Tensor:
        """The gradient of the squared error by the vectors (B, *grid, D) of a level."""
        total = torch.zeros_like(values[level])
        for row, tile in self._tiles:
            parts = [value[self._seen(row, tile, i)].clone() for i, value in enumerate(values)]
            parts[level].requires_grad_()
            with torch.enable_grad():
                made = self._made(parts, tile)
                given = self.tokenizer.signal.to_values(self._given(row, tile)).to(made)
                (found,) = torch.autograd.grad((made - given).square().sum(), parts[level])
            total[self._seen(row, tile, level)] += found
        return total

    def _measured(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The mean over positions of J^T J (D, D) of each level, by a random probe.

        The vectors are a little smaller, so that few elements are at the end of their range.
        """
        generator = torch.Generator().manual_seed(0)
        totals = [torch.zeros(value.shape[-1], value.shape[-1]).to(value) for value in values]
        with torch.enable_grad():
            parts = [(SHRUNK * part).requires_grad_() for part in self._middle(values)]
            made = self.tokenizer.decode_values(parts)
            for left in reversed(range(PROBES)):
                signs = torch.randint(0, 2, made.shape, generator=generator).to(made) * 2 - 1
                grads = torch.autograd.grad((made * signs).sum(), parts, retain_graph=left > 0)
                for total, grad in zip(totals, grads, strict=True):
                    rows = grad.flatten(0, -2)
                    total += rows.T @ rows / max(1, len(rows)) / PROBES
        for total in totals:
            least = RIDGE * total.diagonal().mean().clamp_min(1e-12)
            total.diagonal().add_(least)
        return totals

    def _middle(self, values: Sequence[Tensor]) -> list[Tensor]:
        """A window of the first signal's vectors, around the middle: (1, *grid, D) each level."""
        if not self.extent:
            return [value[: PROBED**2] for value in values]
        coarse = values[0].shape[1:-1]
        found = [value[:1] for value in values]
        for axis, cells in enumerate(coarse, 1):
            first = max(0, (cells - PROBED) // 2)
            after = min(cells, first + PROBED)
            if any(value.shape[axis] * end % cells for value in values for end in (first, after)):
                continue  # no border between cells of all levels
            for level, value in enumerate(values):
                a, b = (value.shape[axis] * end // cells for end in (first, after))
                found[level] = found[level].narrow(axis, a, b - a)
        return found

    def _made(self, parts: Sequence[Tensor], tile: Tile | None) -> Tensor:
        """The signals of vectors, of a tile only what it keeps."""
        size = self.extent if tile is None else tile.size
        made = self.tokenizer.decode_values(parts, size=size)
        return made if tile is None else made[:, :, *tile.kept()]

    def _given(self, row: slice, tile: Tile | None) -> Tensor:
        part = self.x[row]
        return part if tile is None else part[:, :, *tile.at()]

    def _seen(self, row: slice, tile: Tile | None, level: int) -> tuple[slice, ...]:
        if tile is None:
            return (row,)
        return (row, *tile.seen(self.tokenizer._level_strides[level]))

    @cached_property
    def _tiles(self) -> list[tuple[slice, Tile | None]]:
        """The parts of the signals that pass the decoder together.

        Raises:
            OptionError: a signal is large, and passes whole; see `cut_for`.
        """
        tokenizer, x = self.tokenizer, self.x
        context = tokenizer.decode_context
        with torch.no_grad():
            cut = cut_for(x, self.extent, tokenizer, tokenizer.strides, context)
        if not cut:
            if self.extent and self.extent.numel() > LARGEST_WHOLE:
                raise OptionError(
                    f"effort: expected at most {LARGEST_WHOLE} elements of a signal that passes "
                    f"the decoder whole, got {self.extent.numel()}; use effort 0 or 1, or the CPU"
                )
            return [(slice(None), None)]
        return [(slice(n, n + 1), tile) for n in range(len(x)) for tile in cut]
