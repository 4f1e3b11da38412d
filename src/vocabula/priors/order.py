"""A request for samples, its result, and its random numbers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.priors.drawing import Drawing
from vocabula.priors.sampling import Known, Progress, check_seed
from vocabula.signals import Condition
from vocabula.signals.codes import OUTSIDE

SKIPPED_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Samples:
    """Signals that were drawn.

    Attributes:
        signals: (n, C, *extent), as the tokenizer decodes them.
        levels: their codes (n, *grid, *code_shape) of each level, the coarsest first, with -1 after
            the end of shorter signals.
        lengths: (n,) elements of each signal along its axis; None where all are as long as
            `signals`.
    """

    signals: Tensor
    levels: tuple[Tensor, ...]
    lengths: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """The signals of a generator of images, (n, C, H, W) in [0, 1]."""
        return self.signals

    def each(self) -> Iterator[Samples]:
        """The samples in groups of equal lengths that follow one another, cut to their lengths."""
        if self.lengths is None:
            yield self
            return
        first = 0
        for length, group in itertools.groupby(self.lengths.tolist()):
            rows = slice(first, first + len(list(group)))
            first = rows.stop
            levels = (codes[rows] for codes in self.levels)
            yield Samples(
                self.signals[rows, :, :length],
                tuple(codes[:, : _count(codes[0])] for codes in levels),
            )


@dataclass(frozen=True, slots=True)
class Order:
    """A checked request for samples; see `Generator.stream`.

    Attributes:
        count: number of signals n.
        start: number of the first signal.
        condition: attributes and text of all n signals.
        size: of a signal along each axis, such as (H, W) in pixels.
        drawing: how symbols are drawn.
        seed: of the draws.
        batch_size: most signals at once.
        progress: called after every position, or None.
        known: codes of each level with a mask of known ones, or None.
        lengths: (n,) elements of each signal of one axis; None: all have `size`.
        overlap: positions of the window before that a window begins with, of signals that are
            longer than the prior's context; None: there are none.
    """

    count: int
    start: int
    condition: Condition
    size: tuple[int, ...]
    drawing: Drawing
    seed: int
    batch_size: int
    progress: Progress | None
    known: tuple[Known, ...] | None = None
    lengths: Tensor | None = None
    overlap: int | None = None

    def known_of(self, level: int, rows: slice) -> Known | None:
        """The known codes of some signals at a level, if there are any."""
        if self.known is None:
            return None
        codes, mask = self.known[level]
        return codes[rows], mask[rows]


def join(batches: Iterable[Samples]) -> Samples:
    """Join batches into one."""
    every = list(batches)
    levels = zip(*(samples.levels for samples in every), strict=True)
    lengths = [samples.lengths for samples in every if samples.lengths is not None]
    return Samples(
        _together([samples.signals for samples in every], 2, 0),
        tuple(_together(parts, 1, OUTSIDE) for parts in levels),
        torch.cat(lengths) if lengths else None,
    )


def _together(parts: Sequence[Tensor], axis: int, fill: int) -> Tensor:
    """Tensors in one batch; shorter ones are filled up along an axis."""
    if all(part.shape[1:] == parts[0].shape[1:] for part in parts):
        return torch.cat(list(parts))
    longest = max(part.shape[axis] for part in parts)
    filled = []
    for part in parts:
        shape = [*part.shape[:axis], longest - part.shape[axis], *part.shape[axis + 1 :]]
        filled.append(torch.cat([part, part.new_full(shape, fill)], axis))
    return torch.cat(filled)


def _count(codes: Tensor) -> int:
    """Positions of a signal (n, *code_shape) before `OUTSIDE`."""
    return int((codes.reshape(len(codes), -1)[:, 0] != OUTSIDE).sum())


def new_seed(seed: int | None) -> int:
    """The given seed, or one drawn from torch's own state.

    Raises:
        OptionError: the given seed is not an integer in [0, 2^63).
    """
    if seed is None:
        return int(torch.randint(2**31, ()))
    check_seed(seed)
    return int(seed)


def level_numbers(seed: int, level: int, skipped: int) -> torch.Generator:
    """The random generator of a level's draws.

    The coarsest level's numbers are those of ``Prior.sample(seed=seed)``; each further level has
    its own numbers, so that the batch size does not change which number makes which draw.

    Args:
        seed: seed of all levels.
        level: 0 for the coarsest.
        skipped: number of draws before the first requested one.
    """
    if level:
        digest = hashlib.sha256(f"{seed} {level}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big") >> 1
    generator = torch.Generator().manual_seed(seed)
    while skipped > 0:
        torch.rand(min(skipped, SKIPPED_AT_ONCE), dtype=torch.float64, generator=generator)
        skipped -= SKIPPED_AT_ONCE
    return generator


def after(done: int, of: int, order: Order) -> Progress | None:
    """The progress of one level of one batch, as part of the whole."""
    progress = order.progress
    if progress is None:
        return None
    return lambda position, _: progress(done + position, of)


def at_least(options: dict[str, tuple[int, int]]) -> None:
    """Refuse an option that is below its least value."""
    for name, (value, least) in options.items():
        if int(value) != value or value < least:
            raise OptionError(
                f"sample.{name}: expected an integer >= {least}, got {value}; change it"
            )
