"""Where the samples of each kind of signal go: pictures, or one file of all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from vocabula.data.media import MEDIA
from vocabula.errors import OptionError
from vocabula.files import is_stream
from vocabula.pipelines.sample import sample_folder, sample_grid
from vocabula.pipelines.sample_drawing import checked, draw_at_once
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Generator
from vocabula.priors.order import new_seed
from vocabula.roles import Role

OTHER_PICTURES = frozenset({".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Ends of names that nobody gives to a folder."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where samples go; see `draw_samples`."""

    out: Path
    codes: Path | None = None
    resume: bool = False
    overwrite: bool = False
    progress: bool = False


Sampling: TypeAlias = Callable[[Generator, SampleOptions, Output], Drawn]
"""Draws samples of one kind of signal and writes them."""

SAMPLING = Role[Sampling](
    "sampling",
    {"image": "vocabula.pipelines.sample_kinds:sample_pictures"},
    default="vocabula.pipelines.sample_kinds:sample_file",
)
"""How samples of each kind of signal are written; one file for a kind without its own."""


def draw_samples(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw samples and write them in the way of their kind of signal.

    Images become a grid or a folder of pictures, other signals one file; after Ctrl-C it holds
    those that were finished.

    Args:
        generator: what draws.
        options: what to draw.
        out: the file or folder to write.
        codes: a token file to write as well, or None.
        resume: go on with the series in the folder `out`.
        overwrite: replace existing files.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: an option is out of range, or unknown to the priors.
        OutputError: a file exists or cannot be written.
    """
    sampling = SAMPLING.of(generator.tokenizer.signal.kind)
    return sampling(generator, options, Output(out, codes, resume, overwrite, progress))


def sample_pictures(generator: Generator, options: SampleOptions, to: Output) -> Drawn:
    """Draw images into a grid if the output is a picture, else into a folder."""
    if not is_picture(to.out):
        return sample_folder(
            generator,
            options,
            to.out,
            codes=to.codes,
            resume=to.resume,
            overwrite=to.overwrite,
            progress=to.progress,
        )
    if to.resume:
        raise OptionError(
            f"--resume: expected a folder of samples, got {to.out}; a grid is drawn at once: "
            "use --overwrite"
        )
    return sample_grid(
        generator, options, to.out, codes=to.codes, overwrite=to.overwrite, progress=to.progress
    )


def sample_file(generator: Generator, options: SampleOptions, to: Output) -> Drawn:
    """Draw signals into one file, such as an array of vectors."""
    if to.resume:
        raise OptionError(
            f"--resume: expected none, as {to.out} is written at once, got it; use --overwrite, or "
            "draw the others with another seed"
        )
    signal = generator.tokenizer.signal
    media = MEDIA.of(signal.kind).for_signal(signal, "sample")
    media.check(to.out, overwrite=to.overwrite)
    options = checked(generator, options)
    finished = 0

    def stored(signals: Tensor) -> Tensor:
        nonlocal finished
        finished += len(signals)
        return signal.to_stored(signals).cpu()

    batches = draw_at_once(
        generator, options, stored, codes=to.codes, overwrite=to.overwrite, show=to.progress
    )
    first = next(batches, None)
    if first is not None:  # after an early Ctrl-C there is nothing to write
        media.write(to.out, itertools.chain([first], batches), None, overwrite=to.overwrite)
    return Drawn(finished, options.count, new_seed(options.seed))


def is_picture(out: Path) -> bool:
    """Whether an output is one picture, not a folder.

    Raises:
        OptionError: its name is that of a picture other than PNG.
    """
    if is_stream(out):
        return True
    suffix = out.suffix.lower()
    if suffix in OTHER_PICTURES and not out.is_dir():
        raise OptionError(
            f"--out: expected a folder or a name that ends in .png, got {out}; "
            f"name it {out.with_suffix('.png')}"
        )
    return suffix == ".png"
