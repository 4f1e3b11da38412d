"""Codes in memory: read from a file of tokens, split in two, and served in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.code_arrays import CodeArrays
from vocabula.data.order import Stream, generator

_SPLIT = 2
"""The stream of random numbers that draws what is held out."""
_LENGTHS = 3
"""The stream of random numbers that orders batches of different lengths."""
SORTED = 16
"""Batches that are drawn at once and sorted by length."""


def split_codes(
    origins: Sequence[str] | int, *, share: float, most: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which signals are trained on and which are held out, each in rising order.

    Signals of one picture, such as several squares of it, stay together.

    Args:
        origins: the signal that each was cut from, or the number of signals, none of them cut.
        share: fraction held out, in (0, 1); at least one picture is.
        most: largest number of signals held out, unless one picture has more.
        seed: of the draw.
    """
    names = [""] * origins if isinstance(origins, int) else list(origins)
    groups = _groups(names)
    sizes = np.bincount(groups)
    count = min(most, max(1, round(share * len(names))))
    drawn = generator(seed, 0, stream=_SPLIT).permutation(len(sizes))
    chosen: list[int] = []
    taken = 0
    for group in drawn.tolist():
        if taken + sizes[group] <= count:
            chosen.append(group)
            taken += int(sizes[group])
        if taken == count:
            break
    out = np.isin(groups, chosen or [int(drawn[np.argmin(sizes[drawn])])])
    return np.flatnonzero(~out), np.flatnonzero(out)


def _groups(names: Sequence[str]) -> NDArray[np.int64]:
    """The index of each signal's picture; a signal without a name counts as its own picture."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(n or i, len(numbers)) for i, n in enumerate(names)])


@dataclass(frozen=True, slots=True)
class CodeBatch:
    """Codes with their attributes, indices and random numbers.

    Attributes:
        levels: (B, *grid, *code_shape) int64 of each level; none where grids of several axes
            differ, of which `CodeArrays.window` cuts parts.
        attributes: (B,) int64 values of each attribute by name, -1 where there is none.
        indices: (B,) int64, positions in the arrays.
        draws: (B,) float32 in [0, 1), a random number of this visit to the signal.
    """

    levels: tuple[Tensor, ...]
    attributes: Mapping[str, Tensor]
    indices: Tensor
    draws: Tensor


def train_code_batches(
    arrays: CodeArrays,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[CodeBatch]:
    """Endless training batches, from batch number `start` on.

    Batch k is a function of the codes, the seed and k alone; epochs follow one another without a
    seam. Where signals differ in length, those of a batch are of similar length: `SORTED` batches
    are drawn at once, sorted by length, and served in random order. Codes that are not in memory
    are shuffled by row group, and by signal within a window of row groups.

    Args:
        arrays: the codes.
        batch_size: signals to a batch and rank.
        seed: of the run.
        start: number of the first batch; a resumed run gives the number of batches it has had.
        rank: of this process; it takes items ``rank::world_size`` of the global batch.
        world_size: number of processes.
    """
    stream = Stream(
        len(arrays),
        seed=seed,
        block_bounds=arrays.block_bounds,
        window_blocks=arrays.window_blocks,
    )
    size = batch_size * world_size
    places = np.arange(rank, size, world_size)
    number = start
    while arrays.counts is None:
        indices, draws = stream.take(number * size + places)
        yield batch_of(arrays, indices, draws[:, 0])
        number += 1
    counts, block = arrays.counts[0], -1
    while True:
        if number // SORTED != block:
            block = number // SORTED
            indices, draws = stream.take(block * SORTED * size + np.arange(SORTED * size))
            by_length = np.argsort(counts[indices], kind="stable").reshape(SORTED, size)
            order = generator(seed, block, stream=_LENGTHS).permutation(SORTED)
        rows = by_length[order[number % SORTED]][places]
        yield batch_of(arrays, indices[rows], draws[rows, 0])
        number += 1


def code_batches(arrays: CodeArrays, batch_size: int) -> Iterator[CodeBatch]:
    """All codes once, in order; see `size_batches` where grids of several axes differ."""
    for first in range(0, len(arrays), batch_size):
        indices = np.arange(first, min(first + batch_size, len(arrays)))
        yield batch_of(arrays, indices)


def size_batches(arrays: CodeArrays, most: int) -> Iterator[CodeBatch]:
    """All signals once, those of equal grids together, in batches of limited positions.

    Args:
        arrays: codes whose grids of several axes differ.
        most: positions of the finest level in a batch, unless one signal has more.
    """
    assert arrays.sizes is not None, "equal grids have `code_batches`"
    finest = arrays.sizes[-1]
    kinds, which = np.unique(np.concatenate(arrays.sizes, 1), axis=0, return_inverse=True)
    for kind in range(len(kinds)):
        alike = np.flatnonzero(which.reshape(-1) == kind)
        together = max(1, most // int(finest[alike[0]].prod()))
        for first in range(0, len(alike), together):
            indices = alike[first : first + together]
            batch = batch_of(arrays, indices)
            levels = (arrays.codes(level, indices) for level in range(len(arrays.levels)))
            yield replace(batch, levels=tuple(levels))


def batch_of(
    arrays: CodeArrays, indices: NDArray[np.int64], draws: NDArray[np.float32] | None = None
) -> CodeBatch:
    """The signals at some indices, with the random numbers of a visit; None: without."""
    draws = np.zeros(len(indices), np.float32) if draws is None else draws
    levels = range(len(arrays.levels)) if arrays.sizes is None else ()
    return CodeBatch(
        tuple(arrays.codes(level, indices) for level in levels),
        {name: torch.from_numpy(own[indices]) for name, own in arrays.attributes.items()},
        torch.from_numpy(indices),
        torch.from_numpy(np.ascontiguousarray(draws)),
    )
