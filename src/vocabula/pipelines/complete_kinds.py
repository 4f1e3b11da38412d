"""How each kind of signal is completed: pictures in part, recordings from their beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from vocabula.errors import OptionError
from vocabula.files import check_apart
from vocabula.pipelines.complete import complete_folder, complete_grid, read_images
from vocabula.pipelines.keep import FORMS, keep_mask, mask_picture
from vocabula.pipelines.sample_kinds import is_picture
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Generator
from vocabula.roles import Role


@dataclass(frozen=True, slots=True)
class Completion:
    """What is completed, and where it goes.

    Attributes:
        files: the signals.
        out: the file or folder to write.
        keep: the part to keep, in words; see `keep_mask` and `kept_elements`.
        mask: a picture of the part to draw, in place of `keep`.
        paste: put the kept part itself in place of its decoded codes.
        overwrite: replace existing files.
        progress: show a progress bar on a terminal.
        note: called with the size of the signals where all have the same, before the first is
            completed; None: nobody wants to know.
    """

    files: list[Path]
    out: Path
    keep: str | None = None
    mask: str | None = None
    paste: bool = False
    overwrite: bool = False
    progress: bool = False
    note: Callable[[tuple[int, ...]], None] | None = None


Completing: TypeAlias = Callable[[Generator, SampleOptions, Completion], Drawn]
"""Completes signals of one kind and writes them."""

COMPLETING = Role[Completing](
    "completing",
    {"image": "vocabula.pipelines.complete_kinds:complete_pictures"},
    default="vocabula.pipelines.continuation:continue_signals",
)
"""How each kind of signal is completed; from its beginning for a kind without its own."""


def complete_signals(generator: Generator, options: SampleOptions, what: Completion) -> Drawn:
    """Complete signals in the way of their kind; after Ctrl-C the finished ones stay.

    Args:
        generator: what draws.
        options: what to draw, `count` completions of each signal.
        what: the signals, what is kept of them, and where they go.

    Raises:
        OptionError, DataError: an option is out of range, or a signal does not fit.
        OutputError: a file exists or cannot be written.
    """
    return COMPLETING.of(generator.tokenizer.signal.kind)(generator, options, what)


def complete_pictures(generator: Generator, options: SampleOptions, what: Completion) -> Drawn:
    """Complete pictures of one size into a grid if the output is a picture, else into a folder."""
    if (what.keep is None) == (what.mask is None):
        got = "neither" if what.keep is None else "both"
        raise OptionError(f"--keep: expected {FORMS}, or --mask, got {got}; give one of them")
    if options.size is not None:
        raise OptionError(
            "--seconds: expected signals of one axis, such as recordings, got a prior of images; "
            "leave it out"
        )
    pixels = read_images(what.files, generator)
    size = (int(pixels.shape[2]), int(pixels.shape[3]))
    if what.keep is not None:
        kept = keep_mask(what.keep, size)
    else:
        kept = mask_picture(Path(what.mask or ""), size)
    options = replace(options, size=size)
    if what.note is not None:
        what.note(size)
    how = {"paste": what.paste, "overwrite": what.overwrite, "progress": what.progress}
    if is_picture(what.out):
        check_apart([what.out], what.files)
        return complete_grid(generator, pixels, kept, options, what.out, **how)
    names = [file.name for file in what.files]
    return complete_folder(generator, pixels, kept, options, what.out, names=names, **how)
