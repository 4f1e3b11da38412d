"""Where the samples of each kind of signal go: pictures, or one file of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vocabula.data.media import MEDIA
from vocabula.errors import OptionError
from vocabula.files import is_stream
from vocabula.pipelines.sample import (
    Drawn,
    SampleOptions,
    checked,
    draw,
    names_of,
    sample_folder,
    sample_grid,
    values_of,
)
from vocabula.pipelines.sample_series import CodesFile
from vocabula.priors import Generator, Samples
from vocabula.priors.order import new_seed
from vocabula.roles import Role

OTHER_PICTURES = frozenset({".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Ends of names that nobody gives to a folder."""


class Sampling(Protocol):
    """Draws samples of one kind of signal and writes them; see `draw_samples`."""

    def __call__(
        self,
        generator: Generator,
        options: SampleOptions,
        out: Path,
        *,
        codes: Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: bool = False,
    ) -> Drawn:
        """Draw and write; see `draw_samples`."""
        ...


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
    return sampling(
        generator,
        options,
        out,
        codes=codes,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )


def sample_pictures(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw images into a grid if `out` is a picture, else into a folder; see `draw_samples`."""
    if not is_picture(out):
        return sample_folder(
            generator,
            options,
            out,
            codes=codes,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    if resume:
        raise OptionError(
            f"--resume: expected a folder of samples, got {out}; a grid is drawn at once: "
            "use --overwrite"
        )
    return sample_grid(generator, options, out, codes=codes, overwrite=overwrite, progress=progress)


def sample_file(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw signals into one file, such as an array of vectors; see `draw_samples`."""
    if resume:
        raise OptionError(
            f"--resume: expected none, as {out} is written at once, got it; use --overwrite, or "
            "draw the others with another seed"
        )
    signal = generator.tokenizer.signal
    media = MEDIA.of(signal.kind)(signal.channels, "sample")
    media.check(out, overwrite=overwrite)
    options = checked(generator, options)
    found: list[tuple[Tensor, Sequence[str]]] = []
    with CodesFile(codes, generator, options.size_of(generator), overwrite=overwrite) as file:

        def keep(samples: Samples, numbers: range) -> None:
            values = values_of(generator, options, numbers)
            names = names_of(generator, values)
            file.append(samples, names, list(values.values()))
            found.append((signal.to_stored(samples.signals).cpu(), names))

        finished = draw(generator, options, 0, keep, show=progress)
    if finished:
        media.write(out, found, finished, overwrite=overwrite)
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
