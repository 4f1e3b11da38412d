"""``vocabula sample``: new signals from a trained prior."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.drawing import (
    Classes,
    Extent,
    Guidance,
    Overlap,
    PriorFolder,
    Seed,
    Settings,
    Temperature,
    Text,
    TopK,
    TopP,
)
from vocabula.cli.runs import BatchSize, Device, Overwrite
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula sample runs/prior -n 64 -o grid.png

  vocabula sample runs/prior -n 1000 --class all --guidance 2 -o samples/

  vocabula sample runs/prior -n 1000 --class all --guidance 2 -o samples/ --resume

  vocabula sample runs/prior --text "a handwritten seven" --temperature 0.9 --seed 0 -o seven.png

  vocabula sample runs/vectors-prior -n 1000 -o samples.npy

  vocabula sample runs/voices --seconds 8 --overlap 0.5 --set speaker=theo -o spoken/
"""


def sample(
    prior: PriorFolder,
    count: Annotated[int, typer.Option("-n", "--count", help="Number of samples.")] = 16,
    *,
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Of images: a .png for one grid, or a folder for a PNG each; of recordings: a "
            "folder, or a .wav or .flac for one; of vectors: a .npy or .parquet.",
        ),
    ],
    classes: Classes = None,
    settings: Settings = None,
    text: Text = None,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = 1.0,
    seed: Seed = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Of images: height x width in pixels, such as 32x64; default: as in training.",
        ),
    ] = None,
    extent: Extent = None,
    overlap: Overlap = None,
    codes: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the codes to a token file as well.")
    ] = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile a transformer's step: for many samples on a GPU."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the samples in the folder OUT.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw new signals: images, recordings, vectors. The same seed draws the same, in any batches.

    Several classes, other values or texts are taken in turn. Ctrl-C keeps the finished samples and
    says how to go on.
    """
    from pathlib import Path

    from vocabula.cli.closing import close
    from vocabula.cli.drawing import (
        chosen_attributes,
        extent_of,
        interrupted,
        note_size,
        open_generator,
        parse_size,
    )
    from vocabula.pipelines.sample_kinds import draw_samples
    from vocabula.pipelines.sample_options import SampleOptions
    from vocabula.priors import Drawing

    drawing = Drawing(temperature, top_k, top_p, guidance)
    pixels = None if size is None else parse_size(size)
    place = Path(out)
    generator = open_generator(prior, device, compiled=compiled)
    length = None if extent is None else extent_of(extent, generator, size)
    options = SampleOptions(
        count,
        chosen_attributes(classes, settings, generator),
        tuple(text or ()),
        pixels or length,
        drawing,
        seed,
        batch_size or 64,
        overlap,
    )
    note_size(generator, pixels)
    drawn = draw_samples(
        generator,
        options,
        place,
        codes=None if codes is None else Path(codes),
        resume=resume,
        overwrite=overwrite,
        progress=True,
    )
    thing = generator.tokenizer.signal.plural[:-1]
    if not drawn.complete:
        raise interrupted(drawn, place, thing)
    made = f"drew {plural(drawn.finished, thing)} with seed {drawn.seed}: {out}"
    close(made, "measure the prior", "report", prior)
