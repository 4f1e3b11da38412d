"""The order in which a training run visits its items: a pure function of seed and epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORD = 2**64 - 1


def generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """A random generator that depends only on its three arguments.

    Philox is counter-based: seed and epoch are its key and the stream is the high word of its
    counter, so any epoch is reached without drawing those before it.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    key = np.array([seed & _WORD, epoch & _WORD], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))


def epoch_order(
    length: int,
    *,
    seed: int,
    epoch: int,
    block_bounds: NDArray[np.int64] | None = None,
    window_blocks: int = 8,
) -> NDArray[np.int64]:
    """A permutation of range(length) for one epoch.

    Without blocks every permutation is equally likely. With blocks (row groups of a file), first
    the blocks are shuffled, then the items inside each window of `window_blocks` neighbours: a
    reader that keeps one window in memory reads every block once.

    Args:
        length: number of items.
        seed: of the run.
        epoch: passes over the data before this one.
        block_bounds: (blocks + 1,) rising indices from 0 to length, or None.
        window_blocks: blocks to a window.

    Returns:
        (length,) int64.
    """
    rng = generator(seed, epoch, stream=0)
    if block_bounds is None:
        return rng.permutation(length)
    blocks = rng.permutation(len(block_bounds) - 1)
    ranges = [np.arange(block_bounds[b], block_bounds[b + 1]) for b in blocks]
    windows = [
        np.concatenate(ranges[start : start + window_blocks])
        for start in range(0, len(ranges), window_blocks)
    ]
    return np.concatenate([rng.permutation(window) for window in windows])


@dataclass(frozen=True, slots=True)
class Turns:
    """The places of a stream that the training batches of one process take.

    Attributes:
        seed: of the run.
        start: number of the first batch.
        batch_size: signals to a batch of all processes.
        offsets: (B,) int64, which of them are this process's.
    """

    seed: int
    start: int
    batch_size: int
    offsets: NDArray[np.int64]

    def __iter__(self) -> Iterator[int]:
        """The numbers of the batches, from the first on, without end."""
        return itertools.count(self.start)

    def places(self, number: int) -> NDArray[np.int64]:
        """The places (B,) in the stream of a batch."""
        return number * self.batch_size + self.offsets


class Stream:
    """An endless sequence of items: epoch after epoch, each in its own order.

    Position p is item p mod N of epoch p // N, so any position is found without those before it.
    Each item comes with three random numbers for augmentation, determined by (seed, epoch, item).

    Args:
        length: number of items N.
        seed: of the run.
        block_bounds: as for `epoch_order`.
        window_blocks: as for `epoch_order`.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        block_bounds: NDArray[np.int64] | None = None,
        window_blocks: int = 8,
    ) -> None:
        self._length = length
        self._seed = seed
        self._bounds = block_bounds
        self._window = window_blocks
        self._epochs: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}

    def take(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Items at some positions.

        Args:
            positions: (B,) from 0, rising.

        Returns:
            Indices (B,) int64 and random numbers (B, 3) float32 in [0, 1).
        """
        epochs, places = np.divmod(positions, self._length)
        indices = np.empty(len(positions), np.int64)
        draws = np.empty((len(positions), 3), np.float32)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order, numbers = self._epoch(int(epoch))
            indices[here] = order[places[here]]
            draws[here] = numbers[indices[here]]
        return indices, draws

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if epoch not in self._epochs:
            while len(self._epochs) >= 2:
                self._epochs.pop(next(iter(self._epochs)))
            order = epoch_order(
                self._length,
                seed=self._seed,
                epoch=epoch,
                block_bounds=self._bounds,
                window_blocks=self._window,
            )
            rng = generator(self._seed, epoch, stream=1)
            numbers = rng.random((self._length, 3), dtype=np.float32)
            self._epochs[epoch] = (order, numbers)
        return self._epochs[epoch]
