"""What is drawn, and how far it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vocabula.priors import Drawing, Generator, Samples
from vocabula.priors.sampling import Progress
from vocabula.signals.attributes import CLASS


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """Options of samples.

    Attributes:
        count: number of samples, >= 1.
        attributes: values of each attribute by index or name, taken in turn; what is not named
            is drawn from all.
        texts: captions, taken in turn; empty: none.
        size: along each axis, such as (H, W) in pixels; None: that of the training signals.
        drawing: temperature, top_k, top_p and guidance.
        seed: seed of the draws; None takes one from torch's own state.
        batch_size: most signals at once; it changes no sample.
        overlap: share of its context that windows of a longer signal have in common; None: a longer
            signal is refused.
    """

    count: int = 16
    attributes: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    size: tuple[int, ...] | None = None
    drawing: Drawing = field(default_factory=Drawing)
    seed: int | None = None
    batch_size: int = 64
    overlap: float | None = None

    def stream(
        self, generator: Generator, start: int = 0, progress: Progress | None = None
    ) -> Iterator[Samples]:
        """The samples from number `start` on, batch by batch; see `Generator.stream`."""
        return generator.stream(
            self.count - start,
            attributes=self.attributes_in_turn(start),
            text=self.in_turn(self.texts, start),
            size=self.size,
            overlap=self.overlap,
            drawing=self.drawing,
            seed=self.seed,
            start=start,
            batch_size=self.batch_size,
            progress=progress,
        )

    def size_of(self, generator: Generator) -> tuple[int, ...]:
        """The size of the samples along each axis, or of the longest of them."""
        return self.size or generator.extent

    def indices_of(self, generator: Generator) -> dict[str, list[int]]:
        """The attributes' values, each as its index."""
        find = generator.priors[0].value_index
        return {
            name: [find(name, value) for value in values]
            for name, values in self.attributes.items()
            if values
        }

    def settings(self, generator: Generator) -> dict[str, Any]:
        """Everything that determines sample i, as plain data."""
        others = self.indices_of(generator)
        labels = others.pop(CLASS, [])
        return {
            "tokenizer": generator.tokenizer.fingerprint(),
            "priors": [prior.fingerprint() for prior in generator.priors],
            "labels": labels,
            "texts": list(self.texts),
            "size": list(self.size_of(generator)),
            **asdict(self.drawing),
            "seed": self.seed,
            **({"attributes": others} if others else {}),
            **({} if self.overlap is None else {"overlap": self.overlap}),
        }

    def attributes_in_turn(self, start: int = 0) -> dict[str, list[int | str]]:
        """One value of each attribute for each sample from number `start` on."""
        turns = {name: self.in_turn(values, start) for name, values in self.attributes.items()}
        return {name: values for name, values in turns.items() if values}

    def in_turn(self, values: Sequence[Any], start: int = 0) -> list[Any] | None:
        """One of `values` for each sample from number `start` on, or None if there are none."""
        if not values:
            return None
        return [values[i % len(values)] for i in range(start, self.count)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The progress of drawing.

    Attributes:
        finished: number of samples written.
        count: number of samples requested; more than `finished` after Ctrl-C.
        seed: the seed they were drawn with.
        resumable: whether a later call can go on with the series.
    """

    finished: int
    count: int
    seed: int
    resumable: bool = field(default=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether all samples are written."""
        return self.finished >= self.count
