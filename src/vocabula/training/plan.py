"""What a run will do, in a few lines of at most 80 columns: data, codes, model, steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vocabula.data import Source
from vocabula.errors import plural
from vocabula.priors.data import PriorData
from vocabula.signals.attributes import attribute_words
from vocabula.tokenizers import CodeLevel, SignalTokenizer
from vocabula.training.base import BaseTrainer
from vocabula.training.forecast import Forecast
from vocabula.training.quantities import duration, gigabytes
from vocabula.training.settings import TrainingOptions

LONG = 3 * 86_400.0
"""Seconds after which a run is called long."""


def tokenizer_lines(
    source: Source, tokenizer: SignalTokenizer, extent: Sequence[int], about: str
) -> list[str]:
    """Data and codes of a tokenizer's run.

    Args:
        source: the signals.
        tokenizer: what will learn.
        extent: of the signals that it learns on.
        about: what they are, such as ``crops of 64 x 64``, or nothing.
    """
    signal, skipped = tokenizer.signal, ""
    if source.problems and signal.axes:
        skipped = f", {plural(len(source.problems), 'file')} skipped"
    levels = zip(tokenizer.levels, tokenizer.grids(*extent), strict=True)
    codes = " and ".join(_codes(level, grid) for level, grid in levels)
    bits = tokenizer.bits_per_unit
    rate = f", {bits:.3g} bits a {signal.unit}" if bits else ""
    more = f", {about}" if about else f" of width {source.channels}" * (not signal.axes)
    return [
        f"data:   {signal.counted(len(source))} of {source.name}{skipped}{more}",
        f"codes:  {codes}{rate}",
    ]


def prior_lines(data: PriorData, levels: Sequence[CodeLevel], chosen: Sequence[int]) -> list[str]:
    """Data and codes of the run of one prior or of several.

    Args:
        data: what they learn from.
        levels: the levels of codes that there are.
        chosen: the positions of those that are learned.
    """
    arrays = data.fitted.arrays
    known = attribute_words(data.attributes)
    known += [f"captions of at most {data.text_length} tokens"] if data.text else []
    given = f"; given {' and '.join(known)}" if known else ""
    most = "" if arrays.counts is None else "at most "
    most = "crops of " if data.fitted.crops else most
    grids = [
        most + _codes(levels[k], data.fitted.grids[k] if levels[k].strides else ()) for k in chosen
    ]
    return [
        f"data:   {plural(len(data.fitted), 'signal')} of {arrays.name}, "
        f"{len(data.held_out)} held out{given}",
        f"codes:  {' and '.join(grids)}",
    ]


def step_lines(
    options: TrainingOptions,
    parameters: int,
    device: torch.device,
    outlook: Forecast | None,
    *,
    done: int = 0,
    models: int = 1,
    unit: str = "images",
) -> list[str]:
    """Model and steps of a run, with the time and memory to expect.

    Args:
        options: how it is carried out.
        parameters: how many numbers the models have.
        device: where it runs.
        outlook: what was measured, or None.
        done: steps done before.
        models: how many models are trained, one after the other.
        unit: what a batch is made of.
    """
    where = f" ({device})"
    if device.type == "cpu":
        where = f" on the CPU with {plural(torch.get_num_threads(), 'thread')}"
    left = max(0, options.steps - done)
    steps = f"steps:  {left} of {plural(options.batch_size, unit[:-1])}"
    steps += f" for each of {models} models" if models > 1 else ""
    steps += f", after the {done} done" if done else ""
    limit = 60 * options.max_minutes * models
    minutes = plural(f"{options.max_minutes:g}", "minute")
    steps += f", at most {minutes}" if limit else ""
    lines = [f"model:  {parameters:,} parameters{where}", steps]
    if outlook is None:
        return lines
    lasts = outlook.seconds * left
    lasts = min(lasts, limit) if limit else lasts
    room = "" if outlook.room is None else f" of {gigabytes(outlook.room)}"
    each = outlook.seconds / models
    lines.append(
        f"expect: about {duration(lasts)} ({each:.{0 if each >= 10 else 2}f} s a step), "
        f"{gigabytes(outlook.memory)}{room} of memory"
    )
    if lasts > LONG:
        advice = ", --preset photos is for CPUs" if unit == "images" else ""
        lines.append(f"warning: that is long; training.max_minutes=60 ends in time{advice}")
    return lines


def trainer_lines(
    trainer: BaseTrainer[Any], outlook: Forecast | None, *, done: int, unit: str
) -> list[str]:
    """The `step_lines` of one trainer."""
    device = trainer.accelerator.device
    return step_lines(trainer.options, trainer.parameters, device, outlook, done=done, unit=unit)


def _codes(level: CodeLevel, grid: Sequence[int]) -> str:
    sizes = level.codebook_sizes
    across = "".join(f"{side} x " for side in reversed(grid)).removesuffix(" x ")
    across = f"{across} of " if across else ""
    if not sizes:
        return f"{across}{level.quantizer.dim} continuous numbers"
    books = str(sizes[0]) if len(set(sizes)) == 1 else ", ".join(map(str, sizes))
    title = f"{len(sizes)} books of {books}" if len(sizes) > 1 else f"1 book of {books}"
    return f"{across}{title}"
