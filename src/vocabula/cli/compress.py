"""``vocabula compress``: from pictures to small files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocabula.cli.runs import (
    BatchSize,
    Device,
    Entropy,
    Jobs,
    Overwrite,
    Pictures,
    Prior,
    Run,
    Stages,
    Strict,
)

EXAMPLES = """[bold]Examples[/bold]

  vocabula compress runs/first photo.png                      writes photo.vcb

  vocabula compress runs/first photos/ -o compressed/         one file each

  vocabula compress runs/first photos/ -o photos.vcb          all in one file

  vocabula compress runs/first photo.png --target-bpp 0.4     as many stages as fit

  vocabula compress runs/first photo.png --entropy portable --prior runs/prior

  vocabula compress runs/first photo.png --lossless           returns the exact pixels
"""


def compress(
    run: Run,
    files: Pictures,
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
    entropy: Entropy = "adaptive",
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
    lossless: Annotated[
        bool,
        typer.Option(
            "--lossless", help="Store the exact pixels too; decompress --stages N ignores them."
        ),
    ] = False,
    jobs: Jobs = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Compress pictures to .vcb files, which vocabula decompress opens with the same RUN.

    Each file appears when it is complete; those that are finished stay if the work is interrupted.
    """
    from vocabula.cli.closing import close, totals
    from vocabula.cli.console import say
    from vocabula.cli.runs import (
        counted,
        default_jobs,
        keeping_finished,
        open_entropy,
        open_run,
        plain_warnings,
    )
    from vocabula.pipelines import Fidelity, compress_files

    tokenizer = open_run(run, device)
    fidelity = Fidelity()
    model = open_entropy(tokenizer, entropy, prior)
    with plain_warnings(), keeping_finished(), counted("compressing", _count(files)) as advance:
        written = compress_files(
            tokenizer,
            files,
            out,
            entropy=model,
            stages=stages,
            target_bpp=target_bpp,
            lossless=lossless,
            batch_size=batch_size,
            jobs=default_jobs(jobs),
            overwrite=overwrite,
            strict=strict,
            fidelity=fidelity,
            advance=advance,
        )
    for one in written if len(written) > 1 else []:
        say(f"{one.path}: {one.bytes} bytes, {8 * one.bytes / one.pixels:.4g} bits per pixel")
    close(totals(written, fidelity), *_opening(run, [one.path for one in written], out, prior))


NAMED = 3
"""Most files that a command to copy names one by one."""


def _opening(run: str, files: list[Path], out: str | None, prior: str | None) -> tuple[str, ...]:
    """The command that opens what was written."""
    words = "open" if len(files) <= NAMED or out is not None else "open the first"
    if len(files) > NAMED:
        files = files[:NAMED] if out is None else [Path(out)]
    options = ["--prior", prior] if prior is not None else []
    return (words, "decompress", run, *map(str, files), *options, "-o", "decoded")


def _count(files: list[str]) -> int:
    """How many pictures there are in files and folders."""
    from vocabula.data.folder import find_images

    return sum(len(find_images(Path(f))[0]) if Path(f).is_dir() else 1 for f in files)
