"""Continuations of signals of one axis: the beginning is kept, and the rest is drawn anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocabula.data.kinds import open_data
from vocabula.data.media import MEDIA
from vocabula.errors import DataError, OptionError
from vocabula.evaluation.batches import read_batches
from vocabula.evaluation.counting import counted
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Generator
from vocabula.priors.order import new_seed
from vocabula.priors.sampling import Progress

if TYPE_CHECKING:
    from vocabula.pipelines.complete_kinds import Completion


def continue_signals(generator: Generator, options: SampleOptions, what: Completion) -> Drawn:
    """Keep the beginning of each signal and draw the rest, `count` times; see `Completion`.

    Codes whose elements are all kept are those of the beginning alone. A continuation is as long as
    its signal, or as `options.size` says.
    """
    signal = generator.tokenizer.signal
    if len(signal.axes) != 1:
        raise OptionError(
            f"complete: expected a prior of images, or of signals of one axis, got one of "
            f"{signal.plural}; draw whole ones with vocabula sample"
        )
    if what.mask is not None or what.keep is None:
        got = "--mask" if what.mask is not None else "none"
        raise OptionError(
            f"--keep: expected first:N, the first N {signal.unit}s, got {got}; try first:0.5"
        )
    kept = kept_elements(what.keep, generator)
    media = MEDIA.of(signal.kind).for_signal(signal, "complete")
    media.check(what.out, overwrite=what.overwrite)
    options = replace(options, seed=new_seed(options.seed))
    signals = [_read(file, generator, kept, options) for file in what.files]
    finished = 0

    def drawn() -> Iterator[tuple[Tensor, list[str]]]:
        nonlocal finished
        total = sum(generator.positions(size) for _, size in signals)
        total *= -(-options.count // options.batch_size)
        with counted("completing", total, show=what.progress) as advance:
            for file, (x, size) in zip(what.files, signals, strict=True):
                batches = _continuations(generator, x, size, options, lambda *_: advance(1))
                for made in batches:
                    if what.paste:
                        made[..., :kept] = x[..., :kept]
                    names = [
                        f"{file.stem}-{finished % options.count + i}" for i in range(len(made))
                    ]
                    finished += len(made)
                    yield signal.to_stored(made).cpu(), names

    def until_interrupted() -> Iterator[tuple[Tensor, list[str]]]:
        with suppress(KeyboardInterrupt):  # the caller sees that some are missing
            yield from drawn()

    media.write(what.out, until_interrupted(), None, overwrite=what.overwrite)
    return Drawn(finished, len(signals) * options.count, options.seed or 0)


def kept_elements(words: str, generator: Generator) -> int:
    """The elements of ``first:N``, N in the signal's unit, cut to whole codes of every level.

    Raises:
        OptionError: the words are unknown, or the part holds no whole code.
    """
    tokenizer, (form, _, amount) = generator.tokenizer, words.strip().partition(":")
    unit, signal = tokenizer.signal.unit, tokenizer.signal
    try:
        length = float(amount)
    except ValueError:
        length = math.nan
    if form != "first" or not (math.isfinite(length) and length > 0):
        raise OptionError(
            f"--keep: expected first:N, the first N {unit}s, got {words!r}; try first:0.5"
        )
    stride = tokenizer.strides[0]
    kept = int(length / signal.units((1,)) + 1e-6) // stride * stride
    if not kept:
        raise OptionError(
            f"--keep: expected at least one whole code, {signal.units((stride,)):g} {unit}s, got "
            f"{length:g}; keep more"
        )
    return kept


def _read(
    file: Path, generator: Generator, kept: int, options: SampleOptions
) -> tuple[Tensor, tuple[int, ...]]:
    """A signal (1, C, T) and the size of its continuations.

    Raises:
        DataError: it cannot be read, or is shorter than what is kept of it.
        OptionError: nothing would be left to draw, or a prior cannot compute the size.
    """
    signal = generator.tokenizer.signal
    x = next(iter(read_batches(open_data(signal, file, strict=True), limit=1, workers=0))).values
    if x.shape[2] < kept:
        raise DataError(
            f"{file}: expected at least {signal.units((kept,)):g} {signal.unit}s, which --keep "
            f"names, got {signal.units(x.shape[2:]):g}; keep less"
        )
    size = options.size or tuple(x.shape[2:])
    if size[0] <= kept:
        raise OptionError(
            f"--keep: expected something left to draw of {signal.units(size):g} {signal.unit}s, "
            f"got all; keep less, or make it longer with --seconds"
        )
    generator.check_size(size, options.overlap)
    return x[..., :kept], size


def _continuations(
    generator: Generator,
    x: Tensor,
    size: tuple[int, ...],
    options: SampleOptions,
    progress: Progress,
) -> Iterator[Tensor]:
    """The continuations (n, C, *size) of one beginning, batch by batch."""
    with torch.no_grad():
        for samples in generator.extend(
            x,
            size,
            copies=options.count,
            attributes=options.attributes_in_turn(),
            text=options.in_turn(options.texts),
            overlap=options.overlap,
            drawing=options.drawing,
            seed=options.seed,
            batch_size=options.batch_size,
            progress=progress,
        ):
            yield samples.signals
