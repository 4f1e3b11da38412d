"""What all kinds of data have in common: batches, sources, and how they are read for training."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # names and headers are read without torch
    import torch
    from torch import Tensor

    from vocabula.signals import Signal

from vocabula.errors import DataError
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
            part = self._part(slice(first, after))
            values = part.values[:, :, *(slice(side) for side in extent)]
            yield replace(part, values=values, mask=None)
            first = after

    def chunks(self, parts: int) -> list[Batch]:
        """The batch in up to `parts` parts of equal size, the last perhaps smaller."""
        size = max(1, -(-len(self) // parts))
        return [self._part(slice(first, first + size)) for first in range(0, len(self), size)]

    def _part(self, rows: slice) -> Batch:
        return replace(
            self,
            values=self.values[rows],
            attributes={name: each[rows] for name, each in self.attributes.items()},
            indices=self.indices[rows],
            paths=self.paths[rows],
            mask=None if self.mask is None else self.mask[rows],
        )


def collate(
    signals: Sequence[Tensor],
    signal: Signal,
    attributes: Mapping[str, Tensor],
    indices: Tensor,
    paths: Sequence[str] = (),
) -> Batch:
    """A batch of signals, padded with 0 to a common extent under a mask where they differ.

    Args:
        signals: (channels, *extent) each.
        signal: their kind; it says whether it may be padded.
        attributes: (B,) by name.
        indices: (B,) positions in the source.
        paths: where the signals came from.

    Raises:
        DataError: there is none, their channels differ, or extents differ in a kind that does not
            pad.
    """
    import torch

    shapes = list(dict.fromkeys(tuple(one.shape) for one in signals))
    if not shapes or len({(len(shape), *shape[:1]) for shape in shapes}) > 1:
        raise DataError(
            f"{signal.plural}: expected signals of equal channels, got shapes {shapes[:5]}; "
            "read one kind of signal"
        )
    if len(shapes) == 1:
        return Batch(torch.stack([*signals]), attributes, indices, paths)
    if not signal.pads:
        raise DataError(
            f"{signal.plural}: expected one extent in a batch, got shapes {shapes[:5]}; cut or "
            f"resize them (padded {signal.plural} are none)"
        )
    whole = [max(sides) for sides in zip(*(shape[1:] for shape in shapes), strict=True)]
    values = signals[0].new_zeros(len(signals), len(signals[0]), *whole)
    mask = torch.zeros(len(signals), *whole, dtype=torch.bool)
    for row, one in enumerate(signals):
        here = tuple(slice(side) for side in one.shape[1:])
        values[row][(slice(None), *here)] = one
        mask[row][here] = True
    return Batch(values, attributes, indices, paths, mask)


class Source(ABC):
    """Signals of one kind that are read by index; every kind of data is one subclass.

    Args:
        name: what the user called the data.
        channels: channels of every signal.
        label_names: class names by label, or None.
        strict: refuse broken items instead of skipping them.

    Attributes:
        problems: items that were skipped and why, one string each.
        keys: a name for each signal, or None.
        crops: how many neighbouring items were cut from one signal.
        batch_size: most signals of a batch, unless the caller says.
    """

    batch_size: ClassVar[int] = 64

    def __init__(
        self,
        name: str,
        channels: int,
        *,
        label_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        self.name = name
        self.channels = channels
        self.label_names = None if label_names is None else list(label_names)
        self.strict = strict
        self.problems: list[str] = []
        self._broken: set[int] = set()
        self.crops = 1
        self.keys: list[str] | None = None

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the values of each attribute of a batch are called; empty if they have no names.

        A source of further attributes, such as the speaker, adds them.
        """
        return {CLASS: tuple(self.label_names or ())}

    def attribute_values(self) -> dict[str, int]:
        """Number of values of each attribute that some signal has.

        Names say how many there are. Where values have none, all signals are read once.
        """
        counts = {name: len(own) for name, own in self.names.items()}
        without = [name for name, count in counts.items() if not count]
        for batch in self.batches() if without else ():
            for name in without:
                counts[name] = max(counts[name], 1 + int(batch.attributes[name].max()))
        return {name: count for name, count in counts.items() if count}

    @abstractmethod
    def __len__(self) -> int:
        """The number of signals."""

    @abstractmethod
    def content(self) -> str:
        """Hash of the signals, the same for a copy of them elsewhere."""

    @abstractmethod
    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch, None, None]:
        """All signals, once each, in order, with indices and paths; broken ones are left out.

        Args:
            batch_size: most signals of a batch; None takes the kind's own.
            limit: number of signals to stop after; None reads all.
            workers: threads that read ahead; 0 reads in this thread.
            overlap: whether they go on while the caller is busy with a batch.

        Raises:
            DataError: a signal is broken and the source is strict, or none is readable.
        """


class SignalData(ABC):
    """How one kind of signal is opened, cut and batched for training; every kind is a subclass.

    Batch k of a training run depends only on the data, these options, the seed and k.

    Args:
        strict: refuse broken signals instead of skipping them.
    """

    component_kind = "data"

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict

    @abstractmethod
    def open(self, path_or_name: str | PathLike[str], *, channels: int | None = None) -> Source:
        """Open data with these options.

        Args:
            path_or_name: as the user names them.
            channels: channels of the model; None takes those of the data.

        Raises:
            DataError: the data are missing, damaged or do not fit.
        """

    @abstractmethod
    def train_batches(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[Batch]:
        """Endless training batches, from batch number `start` on.

        Args:
            source: the signals.
            batch_size: signals to a batch and rank.
            seed: of the run.
            start: number of the first batch; a resumed run gives the number of batches it has had.
            rank: of this process; it takes items ``rank::world_size`` of the global batch.
            world_size: number of processes; the global batch has batch_size * world_size items.

        Raises:
            DataError: the signals do not fit the options.
        """

    @abstractmethod
    def extent(self, source: Source) -> tuple[int, ...]:
        """The size of the signals in training batches, one number per axis.

        Raises:
            DataError: the signals do not fit the options.
        """

    def kept_bytes(self, source: Source) -> int:
        """About how many bytes of the data one process keeps in memory; 0 unless overridden."""
        return 0

    def in_words(self, source: Source) -> str:
        """What a training item is, such as ``crops of 64 x 64``; nothing unless overridden."""
        return ""
