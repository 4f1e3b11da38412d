"""``vocabula blocks``: pictures as blocks of a codebook that is stored in the file."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from vocabula.cli.inputs import seed_in_range
from vocabula.cli.runs import Jobs, Overwrite, Pictures
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula blocks photo.png -k 256 --block 4x4 -o photo.vcb

  vocabula blocks a.png b.png -k 1024 -o both.vcb      one codebook for both

  vocabula decompress photo.vcb -o decoded.png         no RUN is needed
"""


def blocks(
    files: Pictures,
    *,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A name ending in .vcb takes all pictures into one file with one codebook, any "
            "other is a folder for one file each; default: beside each picture.",
        ),
    ] = None,
    codewords: Annotated[
        int, typer.Option("-k", "--codewords", min=1, max=65536, help="Most blocks of a codebook.")
    ] = 256,
    block: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width of a block in pixels, 1 to 64.")
    ] = "4x4",
    seed: Annotated[
        int,
        typer.Option(
            min=0, callback=seed_in_range, help="Of the k-means that chooses the codebook."
        ),
    ] = 0,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Compress pictures by classic vector quantization; vocabula decompress opens the files.

    Needs no trained model: the codebook is in the file, with the codes. Grey pictures stay grey,
    transparent pixels are laid over white. Each file appears when it is complete.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.console import say
    from vocabula.cli.reading import plain_warnings
    from vocabula.cli.runs import default_jobs, keeping_finished
    from vocabula.errors import OptionError
    from vocabula.pipelines.blocks import BlockOptions, WrittenBlocks, write_block_files

    sides = re.fullmatch(r"(\d{1,2})x(\d{1,2})", block)
    if sides is None or not all(1 <= int(side) <= 64 for side in sides.groups()):
        raise OptionError(
            f"block: expected height x width of 1 to 64 pixels each, got {block!r}; "
            "give --block 4x4"
        )

    made: list[WrittenBlocks] = []

    def report(one: WrittenBlocks) -> None:
        made.append(one)
        rate = 8 * one.bytes / one.pixels
        say(
            f"{one.path}: {plural(one.codewords, 'codeword')}, {one.psnr:.2f} dB, "
            f"{one.bytes} bytes, {rate:.4g} bits per pixel"
        )

    options = BlockOptions(codewords, (int(sides[1]), int(sides[2])), seed)
    with plain_warnings(), keeping_finished():
        write_block_files(
            files, out, options, jobs=default_jobs(jobs), overwrite=overwrite, done=report
        )
    size, pixels = sum(one.bytes for one in made), sum(one.pixels for one in made)
    close(
        f"wrote {plural(len(made), 'file')} of {plural(len(files), 'picture')}: {size:,} bytes, "
        f"{8 * size / pixels:.4g} bits per pixel",
        "open" if len(made) == 1 else "open the first",
        *("decompress", made[0].path, "-o", "decoded"),
    )
