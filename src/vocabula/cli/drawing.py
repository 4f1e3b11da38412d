"""What sampling and completing share: their options and the function that opens a PRIOR."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.inputs import existing
from vocabula.errors import Interrupted, OptionError, picture_size, plural
from vocabula.signals.attributes import CLASS

if TYPE_CHECKING:
    from vocabula.pipelines.sample_options import Drawn
    from vocabula.priors import Generator

PriorFolder = Annotated[
    str,
    typer.Argument(
        metavar="PRIOR",
        help="The folder that vocabula train-prior wrote.",
        callback=existing(
            "a trained prior",
            "no such folder",
            "give the folder that `vocabula train-prior --out` wrote",
        ),
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="CLASS",
        help="Index or name; several by commas or repeated; all for every class.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        "--set",
        metavar="NAME=VALUE",
        help="Value of an attribute, such as speaker=3; may be repeated.",
    ),
]
Text = Annotated[
    list[str] | None, typer.Option("--text", metavar="WORDS", help="A caption; may be repeated.")
]
Temperature = Annotated[float, typer.Option(help="Above 0; below 1 prefers what is probable.")]
TopK = Annotated[int | None, typer.Option(help="Draw from the K most probable codes only.")]
TopP = Annotated[
    float | None, typer.Option(help="Draw from the fewest codes that reach probability P only.")
]
Guidance = Annotated[
    float, typer.Option(help="Weight of the condition; 1 is plain, 2 to 4 exaggerate it.")
]
Extent = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        "--extent",
        metavar="N",
        help="Of recordings, and of other signals of one axis in their own unit: how long they "
        "are; default: as those of the training data.",
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Draw signals that are longer than the prior's context in windows, which have this "
        "share of the context in common, such as 0.5.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of the draws; default: another every time.")]


def open_generator(prior: str, device: str = "auto", *, compiled: bool = False) -> Generator:
    """The generator of a PRIOR, on a device.

    Args:
        prior: its folder.
        device: the device, "auto" for a GPU if there is one.
        compiled: whether its transformers compile their steps.

    Raises:
        CheckpointError: a part of it is missing, damaged or foreign.
        OptionError: the device does not exist, or there is nothing to compile.
    """
    from vocabula.cli.runs import move_to
    from vocabula.files.packaged import prior_folder
    from vocabula.priors import TransformerPrior, load_generator

    generator = move_to(load_generator(prior_folder(prior)), device)
    if compiled:
        transformers = [part for part in generator.priors if isinstance(part, TransformerPrior)]
        if not transformers:
            raise OptionError(
                f"--compile: expected a transformer, got a {type(generator.priors[0]).__name__}; "
                "leave it out"
            )
        for part in transformers:
            part.compiled = True
    return generator


def chosen_attributes(
    classes: Sequence[str] | None, settings: Sequence[str] | None, generator: Generator
) -> dict[str, tuple[int | str, ...]]:
    """The values that were asked for of each attribute; unknown ones are refused later.

    Args:
        classes: the words of ``--class``.
        settings: those of ``--condition``, each as ``NAME=VALUE``.
        generator: what draws.

    Raises:
        OptionError: a setting is not of that form.
    """
    asked = [*((CLASS, word) for word in classes or ()), *settings_of(settings)]
    chosen: dict[str, list[int | str]] = {}
    for name, word in asked:
        chosen.setdefault(name, []).extend(_values(name, word, generator))
    return {name: tuple(values) for name, values in chosen.items()}


def settings_of(settings: Sequence[str] | None) -> list[tuple[str, str]]:
    """Names and values of ``--condition``.

    Raises:
        OptionError: a setting is not ``NAME=VALUE``.
    """
    asked = []
    for setting in settings or ():
        name, equals, word = setting.partition("=")
        if not (name.strip() and equals and word.strip()):
            raise OptionError(
                f"--condition: expected NAME=VALUE, such as speaker=3, got {setting!r}; write the "
                "name of an attribute and one of its values"
            )
        asked.append((name.strip(), word.strip()))
    return asked


def _values(name: str, word: str, generator: Generator) -> Sequence[int | str]:
    """The values that a word asks for: all of an attribute, or one or several by commas."""
    if word in generator.names_of(name):
        return [word]
    count = generator.conditioning.values.get(name, 0)
    if word == "all" and count:
        return range(count)
    return [part.strip() for part in word.split(",")]


def parse_size(text: str) -> tuple[int, int]:
    """(H, W) of words such as 32x64.

    Raises:
        OptionError: it is not a pair of integers >= 1.
    """
    match = re.fullmatch(r"(\d{1,5})\s*[xX\u00d7]\s*(\d{1,5})", text.strip())
    height, width = (int(side) for side in match.groups()) if match else (0, 0)
    if not (height and width):
        raise OptionError(
            f"--size: expected HEIGHTxWIDTH in pixels, such as 32x32, got {text!r}; "
            "leave it out for the size of training"
        )
    return height, width


def extent_of(amount: float, generator: Generator, size: str | None = None) -> tuple[int, ...]:
    """The elements of a signal of one axis that is so long, in its unit.

    Args:
        amount: of the unit, such as seconds.
        generator: what draws.
        size: the words of ``--size``, which says the same of images.

    Raises:
        OptionError: the signals have another number of axes, both options are given, or there would
            be no element.
    """
    signal = generator.tokenizer.signal
    if len(signal.axes) != 1 or size is not None:
        got = "--size as well" if size is not None else f"a prior of {signal.plural}"
        raise OptionError(
            f"--seconds: expected signals of one axis, such as recordings, got {got}; leave it out"
        )
    elements = amount / signal.units((1,))
    if not (math.isfinite(elements) and 1 <= round(elements) < 2**31):
        raise OptionError(
            f"--seconds: expected at least one element, {signal.units((1,)):.3g} {signal.unit}s, "
            f"and fewer than 2^31, got {amount:g}; try "
            f"{signal.units(generator.extent):.3g}"
        )
    return (round(elements),)


def note_size(generator: Generator, size: tuple[int, ...] | None) -> None:
    """Note if the requested size differs from the prior's training signals."""
    from vocabula.cli.console import note

    trained = generator.extent
    if size is not None and size != trained:
        generator.check_size(size)
        note(
            f"size: the prior was trained on {picture_size(*trained)} "
            f"{generator.tokenizer.signal.unit}s, never on "
            f"{picture_size(*size)}; it can draw them, but may do worse"
        )


def interrupted(drawn: Drawn, out: Path, thing: str = "image") -> Interrupted:
    """The message after Ctrl-C: what is kept, and how to get the rest.

    Args:
        drawn: what was finished.
        out: where it is.
        thing: what one sample is called.
    """
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    if drawn.resumable:
        more, then = ["--resume"], "go on"
    else:
        more, then = ["--overwrite"], "draw all of them"
        if not any(word.startswith("--seed") for word in words):
            more = ["--seed", str(drawn.seed), *more]
    kept = f"the {drawn.finished} finished of {plural(drawn.count, thing)} are kept in {out}"
    if not drawn.finished:
        kept = f"none of {plural(drawn.count, thing)} was finished"
    command = shlex.join(["vocabula", *words, *more])
    return Interrupted(f"interrupted: {kept}; {then} with: {command}")
