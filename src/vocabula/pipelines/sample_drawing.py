"""Draws samples batch by batch, named and numbered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from vocabula.evaluation.counting import counted
from vocabula.pipelines.sample_codes import CodesFile
from vocabula.pipelines.sample_options import SampleOptions
from vocabula.priors import Generator, Samples
from vocabula.priors.order import new_seed

T = TypeVar("T")


LONGEST_WORD = 40
"""Characters of an attribute's value that a file's name holds."""


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
    with CodesFile(codes, generator, overwrite=overwrite) as file:
        try:
            for samples, numbers in _numbered(generator, options, 0, show=show):
                first = numbers.start
                for part in samples.each():
                    values = values_of(generator, options, range(first, first + len(part.signals)))
                    names = [f"{name}{suffix}" for name in names_of(generator, values)]
                    file.append(part, names, list(values.values()))
                    yield convert(part.signals), names
                    first += len(part.signals)
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
