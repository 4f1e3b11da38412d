"""``vocabula compress``: from pictures to small files."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.runs import BatchSize, Device, Jobs, Overwrite, Prior, Run, Stages

EXAMPLES = """[bold]Examples[/bold]

  vocabula compress runs/first photo.png                      writes photo.vcb

  vocabula compress runs/first photos/*.png -o compressed/    one file each

  vocabula compress runs/first photos/*.png -o photos.vcb     all in one file

  vocabula compress runs/first photo.png --target-bpp 0.4     as many stages as fit

  vocabula compress runs/first photo.png --entropy portable --prior runs/prior
"""


def compress(
    run: Run,
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Picture files.")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A name ending in .vcb takes all pictures into one file, any other is a folder "
            "for one file each; default: beside each picture.",
        ),
    ] = None,
    entropy: Annotated[
        str,
        typer.Option(
            help="adaptive (learns as it goes), static (counts of training codes; see vocabula "
            "counts), portable (a portable prior, --prior; opens on every machine), prior (any "
            "prior, --prior; opens on the same build of torch only) or uniform (fixed length)."
        ),
    ] = "adaptive",
    prior: Prior = None,
    stages: Stages = None,
    target_bpp: Annotated[
        float | None,
        typer.Option(
            "--target-bpp",
            metavar="X",
            help="Keep the most stages for which a file has at most X bits per pixel.",
        ),
    ] = None,
    jobs: Jobs = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Compress pictures to .vcb files, which vocabula decompress opens with the same RUN.

    Each file appears when it is complete; those that are finished stay if the work is interrupted.
    """
    from vocabula.cli.console import say
    from vocabula.cli.runs import (
        counted,
        default_jobs,
        keeping_finished,
        open_run,
        open_statistics,
        plain_warnings,
    )
    from vocabula.codec import NETWORKS, choose_model, compress_files, offered_models
    from vocabula.errors import OptionError

    if prior is not None and entropy not in NETWORKS:
        raise OptionError(
            f"--prior: expected --entropy {' or '.join(NETWORKS)} with it, got {entropy}; add one, "
            "or leave out --prior"
        )
    tokenizer = open_run(run, device)
    models = offered_models(tokenizer, prior=prior)
    with plain_warnings(), keeping_finished(), counted("compressing", len(files)) as advance:
        written = compress_files(
            tokenizer,
            files,
            out,
            entropy=choose_model(entropy, open_statistics(run, tokenizer), models),
            stages=stages,
            target_bpp=target_bpp,
            batch_size=batch_size,
            jobs=default_jobs(jobs),
            overwrite=overwrite,
            advance=advance,
        )
    for one in written:
        say(f"{one.path}: {one.bytes} bytes, {8 * one.bytes / one.pixels:.4g} bits per pixel")
