"""Signals that are read together, with what is known of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names and headers are read without torch
    import torch
    from torch import Tensor


from vocabula.signals.attributes import CLASS


@dataclass(frozen=True, slots=True)
class Batch:
    """Signals with their attributes, indices and paths.

    Attributes:
        values: (B, channels, *extent), of any type that the kind of signal accepts.
        attributes: (B,) int64 by name, -1 where a signal has none; ``class`` is the label.
        indices: (B,) int64, positions in the source.
        paths: where the signals came from; filled for evaluation, empty for training.
        mask: (B, *extent) bool, True where a signal is, if some are padded to a common extent.
    """

    values: Tensor
    attributes: Mapping[str, Tensor]
    indices: Tensor
    paths: Sequence[str] = field(default_factory=list)
    mask: Tensor | None = None

    def __len__(self) -> int:
        """The number of signals B."""
        return len(self.values)

    @property
    def labels(self) -> Tensor:
        """(B,) int64, the attribute ``class``; -1 where a signal has none."""
        return self.attributes[CLASS]

    def to(
        self,
        device: torch.device | str,
        layout: torch.memory_format | None = None,
    ) -> Batch:
        """The same with its tensors on a device.

        Args:
            device: the device.
            layout: order of the values in memory, where they have four axes; None keeps it.
        """
        values = self.values.to(device, non_blocking=True)
        if layout is not None and values.ndim == 4:
            values = values.contiguous(memory_format=layout)
        return replace(
            self,
            values=values,
            attributes={name: each.to(device) for name, each in self.attributes.items()},
            mask=None if self.mask is None else self.mask.to(device),
        )

    @property
    def extents(self) -> list[tuple[int, ...]]:
        """The extent of each signal, without padding."""
        if self.mask is None:
            return [tuple(self.values.shape[2:])] * len(self)
        axes = range(1, self.mask.ndim)
        others = [tuple(other for other in axes if other != axis) for axis in axes]
        sides = [(self.mask.any(dim=o) if o else self.mask).sum(1).tolist() for o in others]
        return list(zip(*sides, strict=True))

    def unpadded(self) -> Iterator[Batch]:
        """The same signals in order, in batches of equal extent that need no mask."""
        if self.mask is None:
            yield self
            return
        first = 0
        for extent, run in itertools.groupby(self.extents):
            after = first + len(list(run))
            part = self.rows(slice(first, after))
            values = part.values[:, :, *(slice(side) for side in extent)]
            yield replace(part, values=values, mask=None)
            first = after

    def chunks(self, parts: int) -> list[Batch]:
        """The batch in up to `parts` parts of equal size, the last perhaps smaller."""
        size = max(1, -(-len(self) // parts))
        return [self.rows(slice(first, first + size)) for first in range(0, len(self), size)]

    def rows(self, rows: slice) -> Batch:
        """Some neighbouring signals of the batch."""
        return replace(
            self,
            values=self.values[rows],
            attributes={name: each[rows] for name, each in self.attributes.items()},
            indices=self.indices[rows],
            paths=self.paths[rows],
            mask=None if self.mask is None else self.mask[rows],
        )
