"""``vocabula complete``: keep a part of images and draw the rest."""

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
from vocabula.cli.inputs import existing
from vocabula.cli.runs import BatchSize, Device, Overwrite
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula complete runs/prior seven.png --keep top:0.5 -o completed.png

  vocabula complete runs/prior a.png b.png --keep box:8,8,24,24 -n 8 -o completed/

  vocabula complete runs/prior photo.png --mask hole.png --paste -o filled.png

  vocabula complete runs/voices voice.wav --keep first:0.5 --seconds 2 -o continued/
"""


def complete(
    prior: PriorFolder,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures, all of one size, or recordings.",
            callback=existing("a picture", "nothing at that place"),
        ),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A .png for one grid, or a folder for a PNG each; of recordings: a folder.",
        ),
    ],
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="Of pictures: top:F, bottom:F, left:F, right:F (a fraction), or "
            "box:LEFT,TOP,RIGHT,BOTTOM; of recordings: first:SECONDS.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="PNG", help="In place of --keep: white is drawn anew, black is kept."),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="Completions of each image.")] = 4,
    paste: Annotated[
        bool, typer.Option("--paste", help="Keep the kept part as it is, not as decoded.")
    ] = False,
    classes: Classes = None,
    settings: Settings = None,
    text: Text = None,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = 1.0,
    seed: Seed = None,
    extent: Extent = None,
    overlap: Overlap = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Keep a part of images and draw the rest, in raster order, or continue recordings.

    What is drawn knows the kept codes before it, not those after it: --keep top conditions on all
    that is kept. A grid shows what is kept, then the completions. Ctrl-C keeps the finished ones.
    """
    from pathlib import Path

    from vocabula.cli.closing import close
    from vocabula.cli.drawing import (
        chosen_attributes,
        extent_of,
        interrupted,
        note_size,
        open_generator,
    )
    from vocabula.data.media import MEDIA
    from vocabula.pipelines.complete_kinds import Completion, complete_signals
    from vocabula.pipelines.sample_options import SampleOptions
    from vocabula.priors import Drawing

    drawing = Drawing(temperature, top_k, top_p, guidance)
    place, files = Path(out), [Path(file).expanduser() for file in images]
    generator = open_generator(prior, device)
    size = None if extent is None else extent_of(extent, generator)
    wanted = chosen_attributes(classes, settings, generator)
    options = SampleOptions(
        count, wanted, tuple(text or ()), size, drawing, seed, batch_size or 64, overlap
    )
    what = Completion(
        files,
        place,
        keep,
        mask,
        paste,
        overwrite,
        progress=True,
        note=lambda size: note_size(generator, size),
    )
    drawn = complete_signals(generator, options, what)
    if not drawn.complete:
        raise interrupted(drawn, place, generator.tokenizer.signal.plural[:-1])
    made = f"drew {plural(drawn.finished, 'completion')} with seed {drawn.seed}: {out}"
    signal = generator.tokenizer.signal
    samples = MEDIA.of(signal.kind).samples
    close(made, f"draw whole {signal.plural}", "sample", prior, "-o", samples)
