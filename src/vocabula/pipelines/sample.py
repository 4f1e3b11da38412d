"""Samples of a generator of images: one PNG each, or one grid, and a file of their codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from vocabula.data.png import check_channels, grid, save_png, to_bytes
from vocabula.evaluation.batches import counted
from vocabula.files import check_new_file
from vocabula.pipelines.sample_series import CodesFile, Series
from vocabula.priors import Drawing, Generator, Samples
from vocabula.priors.order import new_seed
from vocabula.priors.sampling import Progress
from vocabula.signals.attributes import CLASS

T = TypeVar("T")

MOST_COLUMNS = 32
"""Values of an attribute or texts up to which each gets its own column of a grid."""
LONGEST_WORD = 40
"""Characters of an attribute's value that a file's name holds."""


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
    """

    count: int = 16
    attributes: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    size: tuple[int, ...] | None = None
    drawing: Drawing = field(default_factory=Drawing)
    seed: int | None = None
    batch_size: int = 64

    def stream(
        self, generator: Generator, start: int = 0, progress: Progress | None = None
    ) -> Iterator[Samples]:
        """The samples from number `start` on, batch by batch; see `Generator.stream`."""
        return generator.stream(
            self.count - start,
            attributes=self.attributes_in_turn(start),
            text=self.in_turn(self.texts, start),
            size=self.size,
            drawing=self.drawing,
            seed=self.seed,
            start=start,
            batch_size=self.batch_size,
            progress=progress,
        )

    def size_of(self, generator: Generator) -> tuple[int, ...]:
        """The size of the samples along each axis."""
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


def sample_grid(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw samples into one picture; a few classes, other values or texts get a column each.

    After Ctrl-C the picture holds the samples that were finished.

    Args:
        generator: what draws.
        options: what to draw.
        out: the PNG file to write.
        codes: a token file to write as well, or None.
        overwrite: replace existing files.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: an option is out of range, or unknown to the priors.
        OutputError: a file exists or cannot be written.
    """
    options = _checked(generator, options)
    check_new_file(out, overwrite=overwrite)
    drawn: list[np.ndarray] = []
    batches = draw_at_once(
        generator, options, to_bytes, codes=codes, suffix=".png", overwrite=overwrite, show=progress
    )
    for pictures, _ in batches:
        drawn.extend(pictures)
    if drawn:
        kinds = max(len(options.texts), *map(len, options.attributes.values()), 0)
        columns = kinds if 1 < kinds <= min(MOST_COLUMNS, options.count) else None
        save_png(grid(np.stack(drawn), columns), out, overwrite=overwrite)
    return Drawn(len(drawn), options.count, new_seed(options.seed))


def sample_folder(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw samples into a folder, one PNG file each (``00000.png``, ...), as they are finished.

    With classes the names are ``00000-CLASS.png``, and so on for other attributes. ``samples.json``
    beside them says how they were drawn. After Ctrl-C the finished ones stay.

    Args:
        generator: what draws.
        options: what to draw.
        out: the folder to write.
        codes: a token file to write as well, or None.
        resume: continue where an earlier call with the same options stopped, or start if there was
            none; a higher count draws more of the same series. Without a seed, the earlier one is
            used.
        overwrite: write into a folder that has files; those of the same name are replaced.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: an option is out of range, unknown to the priors, or differs from
            the series to continue.
        OutputError: the folder has files already, or cannot be written.
    """
    seed = options.seed
    options = _checked(generator, options)
    settings = options.settings(generator) | {"seed": seed}
    series = Series.open(out, settings, resume=resume, overwrite=overwrite)
    options = replace(options, seed=series.settings["seed"])
    if series.finished >= options.count and codes is None:
        return Drawn(series.finished, options.count, new_seed(options.seed), resumable=True)
    size = options.size_of(generator)
    with CodesFile(codes, generator, size, overwrite=overwrite or resume) as file:
        start = finished = file.keep(series.finished)
        series.save(start)

        def keep(samples: Samples, numbers: range) -> None:
            values = values_of(generator, options, numbers)
            names = [f"{name}.png" for name in names_of(generator, values)]
            for image, name in zip(to_bytes(samples.signals), names, strict=True):
                save_png(image, out / name, overwrite=True)
            file.append(samples, names, list(values.values()))
            series.save(numbers.stop)

        if start < options.count:
            finished = draw(generator, options, start, keep, show=progress)
    return Drawn(finished, options.count, new_seed(options.seed), resumable=True)


def _checked(generator: Generator, options: SampleOptions) -> SampleOptions:
    check_channels(generator.tokenizer.channels, "sample")
    return checked(generator, options)


def checked(generator: Generator, options: SampleOptions) -> SampleOptions:
    """The options with a seed, after a check that they can be carried out.

    Raises:
        OptionError, DataError: an option is out of range, or unknown to the priors.
    """
    options = replace(options, seed=new_seed(options.seed))
    options.stream(generator)  # checks without drawing anything
    return options


def draw(
    generator: Generator,
    options: SampleOptions,
    start: int,
    keep: Callable[[Samples, range], None],
    *,
    show: bool,
) -> int:
    """Draw the samples from `start` on, until all are kept or Ctrl-C.

    Args:
        generator: what draws.
        options: what to draw, with a seed.
        start: the number of the first sample.
        keep: takes a batch and the numbers of its samples.
        show: show a progress bar on a terminal.

    Returns:
        The number of samples that there are then, those before `start` included.
    """
    finished = start
    try:
        for samples, numbers in _numbered(generator, options, start, show=show):
            keep(samples, numbers)
            finished = numbers.stop
    except KeyboardInterrupt:
        pass  # finished samples are kept; the caller sees that some are missing
    return finished


def draw_at_once(
    generator: Generator,
    options: SampleOptions,
    convert: Callable[[Tensor], T],
    *,
    codes: Path | None,
    suffix: str = "",
    overwrite: bool,
    show: bool,
) -> Iterator[tuple[T, list[str]]]:
    """Draw all samples for one file, and write their codes as they come.

    Args:
        generator: what draws.
        options: what to draw, with a seed.
        convert: makes of the signals of a batch what is kept.
        codes: a token file to write as well, or None.
        suffix: the end of every name.
        overwrite: replace an existing file of codes.
        show: show a progress bar on a terminal.

    Yields:
        What `convert` returns, and the names of the samples; after Ctrl-C no more.
    """
    with CodesFile(codes, generator, options.size_of(generator), overwrite=overwrite) as file:
        try:
            for samples, numbers in _numbered(generator, options, 0, show=show):
                values = values_of(generator, options, numbers)
                names = [f"{name}{suffix}" for name in names_of(generator, values)]
                file.append(samples, names, list(values.values()))
                yield convert(samples.signals), names
        except KeyboardInterrupt:
            pass  # the caller sees that some are missing


def _numbered(
    generator: Generator, options: SampleOptions, start: int, *, show: bool
) -> Iterator[tuple[Samples, range]]:
    """The samples from `start` on, batch by batch, with their numbers and a progress bar."""
    batches = -(-(options.count - start) // options.batch_size)
    total = batches * generator.positions(options.size_of(generator))
    with counted("sampling", total, show=show) as advance:
        for samples in options.stream(generator, start, lambda done, of: advance(1)):
            numbers = range(start, start + len(samples.signals))
            yield samples, numbers
            start = numbers.stop


def values_of(
    generator: Generator, options: SampleOptions, numbers: range
) -> dict[int, dict[str, int]]:
    """The indices of the attributes' values of some samples, by the sample's number."""
    found = options.indices_of(generator)
    return {i: {name: own[i % len(own)] for name, own in found.items()} for i in numbers}


def names_of(generator: Generator, values: Mapping[int, Mapping[str, int]]) -> list[str]:
    """The names of samples: their numbers, and the values of their attributes if any."""
    names = []
    for number, own in values.items():
        words = [generator.value_name(attribute, index) for attribute, index in own.items()]
        parts = [re.sub(r"[^\w.\-]+", "_", word)[:LONGEST_WORD] for word in words]
        names.append("-".join([f"{number:05d}", *filter(None, parts)]))
    return names
