"""Some neighbouring signals of a source, as a source of their own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

from vocabula.data.base import Source
from vocabula.data.batch import Batch


class SourcePart(Source):
    """The signals from `first` to before `last` of any source.

    Signals before them are read and dropped; kinds of data that can do better override
    `Source.part`.

    Args:
        source: all signals.
        first: index of the first one.
        last: index after the last one.
    """

    def __init__(self, source: Source, first: int, last: int) -> None:
        super().__init__(
            source.name, source.channels, label_names=source.label_names, strict=source.strict
        )
        self._whole, self._first, self._last = source, first, last
        self.crops = source.crops

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """See `Source.names`."""
        return self._whole.names

    def __len__(self) -> int:
        """The number of signals."""
        return self._last - self._first

    def content(self) -> str:
        """The hash of all signals, and which of them these are."""
        return f"{self._whole.content()}[{self._first}:{self._last}]"

    def left_out(self, index: int) -> tuple[str, str]:
        """See `Source.left_out`."""
        return self._whole.left_out(self._first + index)

    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch, None, None]:
        """See `Source.batches`."""
        last = self._last if limit is None else min(self._last, self._first + limit)
        found = self._whole.batches(
            batch_size=batch_size, limit=last, workers=workers, overlap=overlap
        )
        with closing(found) as batches:
            for batch in batches:
                before = int((batch.indices < self._first).sum())
                if before < len(batch):
                    kept = batch.rows(slice(before, None))
                    yield replace(kept, indices=kept.indices - self._first)
