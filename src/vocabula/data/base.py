"""What all kinds of data have in common: batches, sources, and how they are read for training."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # names and headers are read without torch
    from vocabula.signals import Signal

from vocabula.data.batch import Batch
from vocabula.data.long_signal import LongSignal
from vocabula.data.order import Turns
from vocabula.data.pieces import Piece
from vocabula.signals.attributes import CLASS


class Source(ABC):
    """Signals of one kind that are read by index; every kind of data is one subclass.

    Args:
        name: what the user called the data.
        channels: channels of every signal.
        label_names: class names by label, or None.
        strict: refuse broken items instead of skipping them.

    Attributes:
        problems: items that were skipped and why, one string each.
        unreadable: path and reason of what was left out while the source was opened.
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
        self.unreadable: list[tuple[str, str]] = []
        self._broken: set[int] = set()
        self._reasons: dict[int, str] = {}
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

    def bounded_batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch | LongSignal, None, None]:
        """As `batches`, but signals that are too long to be held come in parts.

        A kind without such signals does not override it.
        """
        yield from self.batches(
            batch_size=batch_size, limit=limit, workers=workers, overlap=overlap
        )

    # ------------------------------------------------------------ parts of a source

    @property
    def root(self) -> Path | None:
        """The folder that paths are relative to; None where they are not those of files."""
        return None

    def pieces(self) -> Iterator[Piece]:
        """Which files, and which rows of them, hold the signals, in order.

        Unless overridden, they are one piece: data that are opened whole.
        """
        is_file = os.path.isfile(file := os.path.abspath(os.path.expanduser(self.name)))
        yield Piece.of(file, 0, len(self)) if is_file else Piece(self.name, 0, len(self))

    def folders(self) -> set[Path]:
        """The folders that data were found in: something new may come to lie there."""
        return set()

    def part(self, first: int, last: int) -> Source:
        """The signals from `first` to before `last`, with the same names."""
        from vocabula.data.source_part import SourcePart

        return SourcePart(self, first, last)

    def stored_attributes(self) -> dict[str, NDArray[np.int64]] | None:
        """(N,) value of each attribute of all signals; None where only reading tells."""
        return None

    def left_out(self, index: int) -> tuple[str, str]:
        """Path and reason of a signal that `batches` has left out."""
        return f"[{index}]", self._reasons.get(index, "not readable")


class SignalData(ABC):
    """How one kind of signal is opened, cut and batched for training; every kind is a subclass.

    Batch k of a training run depends only on the data, these options, the seed and k.

    Args:
        strict: refuse broken signals instead of skipping them.

    Attributes:
        kept_options: options that commands after training take from the run, such as how names
            tell attributes.
        sized_by: the option that makes the signals of a batch smaller, if there is one.
    """

    component_kind = "data"
    kept_options: ClassVar[tuple[str, ...]] = ()
    sized_by: ClassVar[str] = ""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict

    def for_signal(self, signal: Signal) -> Self:
        """These options for a signal; a kind that is read by more than its channels overrides it.

        Args:
            signal: the kind, with its settings, such as its sample rate; of any channels.

        Raises:
            OptionError: the options contradict the signal.
        """
        return self

    @abstractmethod
    def open(self, path_or_name: str | PathLike[str], *, channels: int | None = None) -> Source:
        """Open data with these options.

        Args:
            path_or_name: as the user names them.
            channels: channels of the model; None takes those of the data.

        Raises:
            DataError: the data are missing, damaged or do not fit.
        """

    def open_files(
        self, place: str, pieces: Sequence[Piece], *, root: Path | None, channels: int | None
    ) -> Source | None:
        """Open some pieces of data alone, without the others; None if that is not possible.

        Attributes need not be those of the whole. None unless overridden.

        Args:
            place: as the user names all data.
            pieces: of a source that `open` has opened, in order.
            root: the folder that paths are relative to; None for data that have none.
            channels: as for `open`.

        Raises:
            DataError: a file is damaged.
        """
        return None

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

        Epochs follow each other without a gap, so a batch may be larger than the data.

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
        offsets = np.arange(rank, batch_size * world_size, world_size)
        return self._train_batches(source, Turns(seed, start, batch_size * world_size, offsets))

    @abstractmethod
    def _train_batches(self, source: Source, turns: Turns) -> Iterator[Batch]:
        """Endless training batches of the signals at some places of the stream."""

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
