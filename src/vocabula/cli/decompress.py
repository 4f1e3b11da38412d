"""``vocabula decompress``: from small files back to pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.runs import Device, Jobs, MaxMemory, Overwrite, Prior, Run, Stages

EXAMPLES = """[bold]Examples[/bold]

  vocabula decompress runs/first photo.vcb                    writes photo.png

  vocabula decompress runs/first compressed/*.vcb -o pictures/
"""


def decompress(
    run: Run,
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Files that vocabula compress wrote.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A folder, or for one picture a name ending in .png; default: beside each file.",
        ),
    ] = None,
    prior: Prior = None,
    stages: Stages = None,
    jobs: Jobs = None,
    max_memory: MaxMemory = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Decompress .vcb files to PNG pictures.

    Every checksum is verified: a damaged file gives an error, never a wrong picture. A file that
    ends after a stage opens with --stages.
    """
    from vocabula.cli.console import say
    from vocabula.cli.runs import (
        counted,
        default_jobs,
        keeping_finished,
        limits_of,
        open_run,
        open_statistics,
    )
    from vocabula.codec import decompress_files, offered_models

    tokenizer = open_run(run, device)
    models = offered_models(tokenizer, prior=prior)
    with keeping_finished(), counted("decompressing", len(files)) as advance:
        written = decompress_files(
            tokenizer,
            files,
            out,
            statistics=open_statistics(run, tokenizer),
            models=models,
            stages=stages,
            limits=limits_of(max_memory),
            jobs=default_jobs(jobs),
            overwrite=overwrite,
            advance=advance,
        )
    for path in written:
        say(str(path))
