"""Tokens as a data set of PyTorch, for models of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vocabula.data.order import epoch_order
from vocabula.data.token_blocks import MEMORY, TokenBlocks
from vocabula.data.token_file import read_tokens
from vocabula.errors import OptionError, ShapeError
from vocabula.signals.code_names import CodeNames

Item = dict[str, Any]


class TokenDataset(Dataset[Item]):
    """The codes of signals by number, read by row groups; with padding and masks for batches.

    An item is a dictionary: ``codes`` (*grid, *code_shape) int64, for several levels a tuple of
    them, ``index``, and the value of each attribute, ``class`` for labels, -1 for none. Worker
    processes may read it. Reading in the order of `order` touches each row group about once.

    Args:
        tokens: what `read_tokens` takes: a file, a folder of parts or a pattern.
        fingerprint: hash of the tokenizer that must have made them, or the names of its codes;
            None takes any.
        pad: what `collate` puts where a signal has no code.
        memory: bytes of codes that stay in memory.

    Attributes:
        names: what the values of each attribute are called.
        codebook_sizes: K of each book of all levels.

    Raises:
        TokensError: tokens are missing, damaged, or of another tokenizer.

    Example:
        >>> from vocabula.data import TokenRecord, write_tokens
        >>> from vocabula.signals import CodeSpec
        >>> records = [TokenRecord(np.arange(n), f"{n}", n % 2, 8 * n) for n in (3, 5)]
        >>> _ = write_tokens(
        ...     "t.parquet", records, fingerprint="f", levels=[CodeSpec((8,))], signal="audio"
        ... )
        >>> data = TokenDataset("t.parquet")
        >>> batch = data.collate([data[0], data[1]])
        >>> batch["codes"].tolist(), batch["class"].tolist()
        ([[0, 1, 2, 0, 0], [0, 1, 2, 3, 4]], [1, 1])
        >>> batch["mask"].sum(1).tolist()
        [3, 5]
    """

    def __init__(
        self,
        tokens: str | os.PathLike[str],
        *,
        fingerprint: CodeNames | str | None = None,
        pad: int = 0,
        memory: int = MEMORY,
    ) -> None:
        file = read_tokens(tokens, fingerprint=fingerprint)
        self.names, self.codebook_sizes, self.pad = file.names, file.codebook_sizes, pad
        self._specs = file.levels
        self._blocks = TokenBlocks(file, memory=memory)
        size = sum(os.path.getsize(part.path) for part in file.parts())
        self._window = self._blocks.window(2 * size)  # codes are packed to about a half

    def __len__(self) -> int:
        """The number of signals."""
        return len(self._blocks)

    def __getitem__(self, index: int) -> Item:
        """The codes and attributes of one signal.

        Raises:
            IndexError: there is no such signal.
            TokensError: the file is damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"tokens: index {index} is outside [0, {len(self)})")
        batch, row = self._blocks.record(int(index))
        levels = tuple(torch.from_numpy(codes[row].astype(np.int64)) for codes in batch.levels)
        values = {name: int(own[row]) for name, own in batch.attributes.items()}
        codes = levels[0] if len(levels) == 1 else levels
        return {"codes": codes, "index": int(index), **values}

    def path(self, index: int) -> str:
        """Where a signal came from."""
        batch, row = self._blocks.record(index)
        return str(batch.paths[row])

    def order(
        self, *, seed: int = 0, epoch: int = 0, rank: int = 0, world_size: int = 1
    ) -> NDArray[np.int64]:
        """The numbers of all signals in random order, as a sampler: cheap to read in that order.

        Row groups are shuffled, and signals within a window of as many row groups as fit into half
        of the memory. The order is a function of the arguments alone, so that a run which goes on
        from batch k skips as many.

        Args:
            seed: of the run.
            epoch: passes before this one.
            rank: of this process; it takes each `world_size`-th signal.
            world_size: number of processes.

        Raises:
            OptionError: the rank is not below the number of processes.
        """
        if not 0 <= rank < world_size:
            raise OptionError(
                f"rank: expected a number in [0, {world_size}), got {rank}; count from 0"
            )
        bounds = self._blocks.bounds
        found = epoch_order(
            len(self), seed=seed, epoch=epoch, block_bounds=bounds, window_blocks=self._window
        )
        return found[rank::world_size]

    def collate(self, items: Sequence[Item]) -> dict[str, Any]:
        """Items as a batch, for a ``DataLoader``; shorter signals are padded at their ends.

        Returns:
            ``codes`` (B, *grid, *code_shape), ``mask`` (B, *grid) bool, True where a signal has
            codes (for several levels both are tuples), ``index`` (B,) and attributes (B,).

        Raises:
            ShapeError: there is no item.
        """
        if not items:
            raise ShapeError("tokens: expected at least one item, got none; raise the batch size")
        several = len(self._specs) > 1
        levels = zip(*(x["codes"] if several else (x["codes"],) for x in items), strict=True)
        found = [
            _padded(codes, len(spec.code_shape), self.pad)
            for codes, spec in zip(levels, self._specs, strict=True)
        ]
        codes, masks = zip(*found, strict=True)
        numbers = {
            name: torch.tensor([x[name] for x in items]) for name in items[0] if name != "codes"
        }
        pair = {"codes": codes, "mask": masks} if several else {"codes": codes[0], "mask": masks[0]}
        return {**pair, **numbers}


def _padded(codes: Sequence[Tensor], inner: int, pad: int) -> tuple[Tensor, Tensor]:
    """Codes of one level side by side, and where they are.

    Args:
        codes: (*grid, *code_shape) each.
        inner: axes of a code's shape.
        pad: what fills the rest.
    """
    axes = codes[0].ndim - inner
    grid = [max(c.shape[axis] for c in codes) for axis in range(axes)]
    found = codes[0].new_full((len(codes), *grid, *codes[0].shape[axes:]), pad)
    mask = torch.zeros(len(codes), *grid, dtype=torch.bool)
    for row, own in enumerate(codes):
        inside = tuple(slice(side) for side in own.shape[:axes])
        found[row][inside], mask[row][inside] = own, True
    return found, mask
