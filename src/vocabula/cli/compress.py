"""``vocabula compress``: from signals to small files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocabula.cli.inputs import existing
from vocabula.cli.runs import (
    BatchSize,
    Device,
    Entropy,
    Jobs,
    Overwrite,
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

  vocabula compress runs/rd photo.png --quality 65 --effort 1 with a rate term

  vocabula compress runs/first photo.png --entropy portable --prior runs/prior

  vocabula compress runs/first photo.png --lossless           returns the exact pixels

  vocabula compress runs/vectors states.npy                   writes states.vcb
"""


ARRAYS = (".npy", ".npz", ".parquet", ".csv")


def _existing(context: typer.Context, files: list[str]) -> list[str]:
    """The files, after a check that they are there."""
    arrays = [file for file in files if Path(file).suffix.lower() in ARRAYS]
    existing("a picture file")(context, [file for file in files if file not in arrays])
    existing("a file of vectors")(context, arrays)
    return files


def compress(
    run: Run,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Pictures and folders of them; for a tokenizer of vectors .npy, .npz, .parquet "
            "and .csv files.",
            callback=_existing,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A name ending in .vcb takes all pictures, or one file of vectors; any other is "
            "a folder for one file each; default: beside each input.",
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
            help="Keep the most stages for which a file has at most X bits per pixel, per "
            "vector, or per second of sound; with a rate term, choose the highest quality instead.",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            "--quality",
            metavar="Q",
            help="0 (smallest) to 100: how much bits weigh in the search of a tokenizer with a "
            "rate term; default: 50, as in training.",
        ),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            "--effort",
            metavar="N",
            help="0 or 1: encode each signal once, or twice to save bits, with a rate term; "
            "default: 0.",
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
    """Compress pictures or vectors to .vcb files; vocabula decompress opens them with the same RUN.

    Each file appears when it is complete; those that are finished stay if the work is interrupted.
    """
    from vocabula.cli.closing import close, totals
    from vocabula.cli.console import say
    from vocabula.cli.reading import plain_warnings
    from vocabula.cli.runs import counted, default_jobs, keeping_finished, open_entropy, open_run
    from vocabula.data.media import MEDIA
    from vocabula.pipelines.compress import COMPRESSION, compress_files

    tokenizer = open_run(run, device)
    compression = COMPRESSION.of(tokenizer.signal.kind)()
    fidelity = compression.closeness()
    model = open_entropy(tokenizer, entropy, prior)
    total = compression.count(files)
    with plain_warnings(), keeping_finished(), counted("compressing", total) as advance:
        written = compress_files(
            tokenizer,
            files,
            out,
            entropy=model,
            stages=stages,
            target_bpp=target_bpp,
            quality=quality,
            effort=effort,
            lossless=lossless,
            batch_size=batch_size,
            jobs=default_jobs(jobs),
            overwrite=overwrite,
            strict=strict,
            fidelity=fidelity,
            advance=advance,
        )
    for one in written if len(written) > 1 else []:
        say(f"{one.path}: {one.bytes} bytes, {one.rate}")
    whole = len(written) == 1  # one file of signals opens as one file of its kind
    decoded = MEDIA.of(tokenizer.signal.kind).decoded if whole else "decoded"
    opening = _opening(run, [one.path for one in written], out, prior)
    close(totals(written, fidelity), *opening, "-o", decoded)


NAMED = 3
"""Most files that a command to copy names one by one."""


def _opening(run: str, files: list[Path], out: str | None, prior: str | None) -> tuple[str, ...]:
    """The command that opens what was written."""
    words = "open" if len(files) <= NAMED or out is not None else "open the first"
    if len(files) > NAMED:
        files = files[:NAMED] if out is None else [Path(out)]
    options = ["--prior", prior] if prior is not None else []
    return (words, "decompress", run, *map(str, files), *options)
