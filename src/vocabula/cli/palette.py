"""``vocabula palette``: reduce pictures to a few colours, chosen by k-means."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.inputs import existing, seed_in_range
from vocabula.cli.runs import Overwrite
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula palette photo.png -k 64 -o small.png

  vocabula palette photo.jpg -k 16 --dither -o small.png

  vocabula palette a.png b.png photos/ -k 256 -o small/
"""


def palette(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures, or folders of them.",
            callback=existing("a picture", "nothing at that place"),
        ),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="OUT", help="A .png for one picture, or a folder for several."
        ),
    ],
    colors: Annotated[
        int, typer.Option("-k", "--colors", min=1, max=256, help="Most colours of a picture.")
    ] = 256,
    dither: Annotated[
        bool,
        typer.Option("--dither", help="Spread what a pixel misses over its neighbours."),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, callback=seed_in_range, help="Of the k-means that chooses the colours."
        ),
    ] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write pictures as indexed PNG files of few colours, each with a palette of its own.

    Needs no trained model. Transparency is kept, in the palette; 16 bits a channel become 8.
    Dithering (Floyd-Steinberg) keeps the mean colour of areas, with larger errors of single pixels.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.console import say
    from vocabula.cli.reading import plain_warnings
    from vocabula.pipelines.palette import PaletteFile, PaletteOptions, write_palettes

    sizes: list[int] = []

    def report(file: PaletteFile) -> None:
        sizes.append(file.size)
        say(
            f"{file.path}: {plural(file.colors, 'colour')}, {file.psnr:.2f} dB, {file.size:,} bytes"
        )

    options = PaletteOptions(colors, dither, seed)
    with plain_warnings():
        write_palettes(
            images, out, options, overwrite=overwrite, progress=len(images) > 1, done=report
        )
    made = f"wrote {plural(len(sizes), 'picture')}: {sum(sizes):,} bytes"
    step = ("palette", images[0], "-o", "fewer", "--colors", max(2, colors // 2))
    close(made, "see it with fewer colours", *step)
