"""Completions of images as files: a part is kept, and the rest is drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vocabula.data.image_problems import BrokenImageError, picture_error
from vocabula.data.names import OutputNames
from vocabula.data.pixels import decode
from vocabula.data.png import check_channels, grid, save_png, to_bytes
from vocabula.errors import DataError, OptionError, picture_size
from vocabula.evaluation.counting import counted
from vocabula.files import check_new_file, check_new_folder
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Generator, Samples
from vocabula.priors.completion import check_completes
from vocabula.priors.order import new_seed
from vocabula.priors.sampling import Progress

HIDDEN = 0.5
"""The grey of hidden pixels in a grid."""


def read_images(files: Sequence[Path], generator: Generator) -> Tensor:
    """Pictures as one batch (B, C, H, W), uint8, with the tokenizer's channels.

    Args:
        files: pictures of one size.
        generator: the generator that will complete them.

    Raises:
        OptionError: the generator draws other signals than images.
        DataError: one cannot be read, they differ in size, or a prior cannot compute that size.
    """
    check_completes(generator.tokenizer)
    check_channels(generator.tokenizer.channels, "complete")
    images: list[Tensor] = []
    for file in files:
        if not file.exists():
            raise DataError(f"{file}: expected a picture, got nothing at that place; check it")
        try:
            pixels = decode(file, generator.tokenizer.channels)
        except BrokenImageError as reason:
            raise picture_error(file, reason, "none ({}); check it") from None
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        if images and image.shape != images[0].shape:
            raise DataError(
                f"{file}: expected the size of {files[0]}, {_sides(images[0])} pixels, got "
                f"{_sides(image)}; resize it, or complete it in a call of its own"
            )
        images.append(image)
    try:
        generator.check_size((images[0].shape[1], images[0].shape[2]))
    except OptionError as error:
        raise DataError(
            f"{files[0]}: {str(error).partition(';')[0]}; resize it to "
            f"{picture_size(*generator.image_size)} pixels"
        ) from None
    return torch.stack(images)


def complete_grid(
    generator: Generator,
    images: Tensor,
    keep: Tensor,
    options: SampleOptions,
    out: Path,
    *,
    paste: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Complete images into one picture: a row per image, the kept part first, then completions.

    After Ctrl-C the picture holds the rows that were finished.

    Args:
        generator: what draws.
        images: (B, C, H, W), uint8.
        keep: booleans (H, W), true where a pixel is kept.
        options: what to draw, `count` completions of each image; their size is the images'.
        out: the PNG file to write.
        paste: put the kept pixels in place of their decoded codes.
        overwrite: replace an existing file.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: see `Generator.complete`.
        OutputError: the file exists or cannot be written.
    """
    check_new_file(out, overwrite=overwrite)
    options = replace(options, seed=new_seed(options.seed))
    seen = torch.where(keep, generator.tokenizer.signal.to_values(images), torch.full((), HIDDEN))
    drawn: list[Tensor] = []
    completed = _complete(generator, images, keep, options, paste=paste, show=progress)
    finished = _until_interrupted(completed, drawn.append)
    rows = finished // options.count
    if rows:
        made = torch.cat(drawn)[: rows * options.count].unflatten(0, (rows, options.count))
        table = torch.cat([seen[:rows, None], made], 1).flatten(0, 1)
        save_png(grid(to_bytes(table), options.count + 1), out, overwrite=overwrite)
    return Drawn(rows * options.count, len(images) * options.count, options.seed or 0)


def complete_folder(
    generator: Generator,
    images: Tensor,
    keep: Tensor,
    options: SampleOptions,
    out: Path,
    *,
    names: Sequence[str],
    paste: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Complete images into a folder, one PNG file a completion: ``NAME-0.png`` and so on.

    Files are written as they are finished; after Ctrl-C those stay.

    Args:
        generator: see `complete_grid`.
        images: see `complete_grid`.
        keep: see `complete_grid`.
        options: see `complete_grid`.
        out: the folder to write.
        names: names of the images, for the files' names.
        paste: see `complete_grid`.
        overwrite: write into a folder that has files; those of the same name are replaced.
        progress: see `complete_grid`.

    Raises:
        OptionError, DataError: see `Generator.complete`.
        OutputError: the folder has files already, or cannot be written.
    """
    check_new_folder(out, overwrite=overwrite)
    options = replace(options, seed=new_seed(options.seed))
    taken = OutputNames(out)
    places = [
        out / taken.take(f"{Path(name).stem}-{copy}.png")
        for name in names
        for copy in range(options.count)
    ]
    left = iter(places)

    def keep_files(batch: Tensor) -> None:
        for image in to_bytes(batch):
            save_png(image, next(left), overwrite=True)

    completed = _complete(generator, images, keep, options, paste=paste, show=progress)
    finished = _until_interrupted(completed, keep_files)
    return Drawn(finished, len(places), options.seed or 0)


def _sides(image: Tensor) -> str:
    return picture_size(*image.shape[1:])


def _complete(
    generator: Generator,
    images: Tensor,
    keep: Tensor,
    options: SampleOptions,
    *,
    paste: bool,
    show: bool,
) -> Iterator[Tensor]:
    """The completions (n, C, H, W) in [0, 1], batch by batch; checked before the first."""

    def start(progress: Progress | None) -> Iterator[Samples]:
        total = replace(options, count=len(images) * options.count)
        return generator.complete(
            images,
            keep,
            copies=options.count,
            attributes=total.attributes_in_turn(),
            text=total.in_turn(options.texts),
            drawing=options.drawing,
            seed=options.seed,
            batch_size=options.batch_size,
            progress=progress,
        )

    def run() -> Iterator[Tensor]:
        batches = -(-len(images) * options.count // options.batch_size)
        height, width = images.shape[-2:]
        total = batches * generator.positions((height, width))
        first, to_values = 0, generator.tokenizer.signal.to_values
        with counted("completing", total, show=show) as advance:
            for samples in start(lambda done, of: advance(1)):
                made = samples.images.cpu()
                rows = torch.arange(first, first + len(made)) // options.count
                first += len(made)
                yield torch.where(keep, to_values(images[rows]), made) if paste else made

    start(None)
    return run()


def _until_interrupted(batches: Iterator[Tensor], keep: Callable[[Tensor], None]) -> int:
    """Hand over all batches, or those before Ctrl-C; returns the number of images."""
    finished = 0
    try:
        for batch in batches:
            keep(batch)
            finished += len(batch)
    except KeyboardInterrupt:
        pass  # finished images are kept; the caller sees that some are missing
    return finished
