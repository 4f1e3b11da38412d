"""``vocabula complete``: keep a part of images and draw the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.drawing import (
    Classes,
    Guidance,
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
"""


def complete(
    prior: PriorFolder,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures, all of one size.",
            callback=existing("a picture", "nothing at that place"),
        ),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="OUT", help="A .png for one grid, or a folder for a PNG each."
        ),
    ],
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="top:F, bottom:F, left:F, right:F (a fraction), or box:LEFT,TOP,RIGHT,BOTTOM.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="PNG", help="In place of --keep: white is drawn anew, black is kept."),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="Completions of each image.")] = 4,
    paste: Annotated[
        bool, typer.Option("--paste", help="Keep the kept pixels as they are, not as decoded.")
    ] = False,
    classes: Classes = None,
    settings: Settings = None,
    text: Text = None,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = 1.0,
    seed: Seed = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Keep a part of images and draw the rest, in raster order.

    What is drawn knows the kept codes before it, not those after it: --keep top conditions on all
    that is kept. A grid shows what is kept, then the completions. Ctrl-C keeps the finished ones.
    """
    from pathlib import Path

    from vocabula.cli.closing import close
    from vocabula.cli.drawing import (
        chosen_attributes,
        interrupted,
        note_size,
        open_generator,
    )
    from vocabula.errors import OptionError
    from vocabula.files import check_apart
    from vocabula.pipelines.complete import complete_folder, complete_grid, read_images
    from vocabula.pipelines.keep import FORMS, keep_mask, mask_picture
    from vocabula.pipelines.sample_kinds import is_picture
    from vocabula.pipelines.sample_options import SampleOptions
    from vocabula.priors import Drawing

    if (keep is None) == (mask is None):
        got = "neither" if keep is None else "both"
        raise OptionError(f"--keep: expected {FORMS}, or --mask, got {got}; give one of them")
    drawing = Drawing(temperature, top_k, top_p, guidance)
    place, files = Path(out), [Path(image).expanduser() for image in images]
    generator = open_generator(prior, device)
    pixels = read_images(files, generator)
    size = (int(pixels.shape[2]), int(pixels.shape[3]))
    kept = keep_mask(keep, size) if keep is not None else mask_picture(Path(mask or ""), size)
    wanted = chosen_attributes(classes, settings, generator)
    options = SampleOptions(count, wanted, tuple(text or ()), size, drawing, seed, batch_size or 64)
    note_size(generator, size)
    how = {"paste": paste, "overwrite": overwrite, "progress": True}
    if is_picture(place):
        check_apart([place], files)
        drawn = complete_grid(generator, pixels, kept, options, place, **how)
    else:
        names = [file.name for file in files]
        drawn = complete_folder(generator, pixels, kept, options, place, names=names, **how)
    if not drawn.complete:
        raise interrupted(drawn, place)
    made = f"drew {plural(drawn.finished, 'completion')} with seed {drawn.seed}: {out}"
    close(made, "draw whole images", "sample", prior, "-o", "samples.png")
