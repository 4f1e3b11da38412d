"""The interface of files of decoded signals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from vocabula.data.long_signal import Parts

if TYPE_CHECKING:
    from vocabula.signals import Signal

Batches = Iterable[tuple[Tensor | Parts, Sequence[str]]]
"""Signals (B, channels, *extent), or a long one in parts, and where each came from."""


class Media(ABC):
    """Writes decoded signals of one kind.

    Args:
        channels: channels of the signals.
        verb: the beginning of messages.

    Raises:
        OptionError: the files cannot hold signals of so many channels.
    """

    samples: ClassVar[str] = "samples.npy"
    """The name of an output for samples, in suggestions."""
    decoded: ClassVar[str] = "decoded.npy"
    """The name of an output for decoded signals, in suggestions."""

    def __init__(self, channels: int, verb: str) -> None:
        self.channels, self.verb = channels, verb

    @classmethod
    def for_signal(cls, signal: Signal, verb: str) -> Self:
        """The files of a kind of signal; a kind whose files state more than channels overrides it.

        Raises:
            OptionError: the files cannot hold such signals.
        """
        return cls(signal.channels, verb)

    @abstractmethod
    def check(self, out: Path, *, overwrite: bool) -> None:
        """Refuse a place where nothing can be written, before any work is done.

        Raises:
            OptionError: the name is that of another format.
            OutputError: it is taken, or cannot be written.
        """

    @abstractmethod
    def write(
        self,
        out: Path,
        batches: Batches,
        count: int | None,
        *,
        overwrite: bool,
    ) -> list[Path]:
        """Write signals; the output appears when it is complete.

        Args:
            out: a file or a folder.
            batches: signals (B, channels, *extent) as `Signal.to_stored` gives them, or one in
                parts, and where each came from.
            count: number of signals in all; None if only the last batch shows it.
            overwrite: replace an existing output.

        Returns:
            The files written, in order.

        Raises:
            OutputError: it exists, cannot be written, or the disk is full.
        """


def whole_batches(batches: Batches) -> Iterator[tuple[Tensor, Sequence[str]]]:
    """The same signals, none in parts, for files that are not written in parts."""
    for signals, paths in batches:
        yield signals.whole() if isinstance(signals, Parts) else signals, paths
