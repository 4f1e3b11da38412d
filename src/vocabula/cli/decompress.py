"""``vocabula decompress``: from small files back to signals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocabula.cli.inputs import check_run, checked, existing
from vocabula.cli.runs import Device, Jobs, MaxMemory, Overwrite, Prior, Stages
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula decompress photo.vcb -o decoded.png                of the package's own tokenizer

  vocabula decompress runs/first photo.vcb -o decoded.png

  vocabula decompress runs/first photo.vcb                    writes photo.png beside it

  vocabula decompress runs/first compressed/*.vcb -o pictures/

  vocabula decompress runs/vectors states.vcb -o decoded.npy

  vocabula decompress blocks.vcb -o decoded.png               of vocabula blocks: no RUN
"""


def checked_words(context: typer.Context, words: list[str]) -> list[str]:
    """The words, after a check that the run and the files are there; see `split_run`."""
    if not context.resilient_parsing:
        run, files = split_run(words)
        checked(check_run)(context, run)
        existing("a compressed file", "'No such file or directory'")(context, files)
    return words


def decompress(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] FILES...",
            help="A run's folder or a saved tokenizer, which files of the package's own tokenizer "
            "and of vocabula blocks do not need; and files that vocabula compress or blocks wrote.",
            callback=checked_words,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A folder; or for one picture a name ending in .png, for one file of vectors one "
            "ending in .npy or .parquet; default: beside each file.",
        ),
    ] = None,
    prior: Prior = None,
    stages: Stages = None,
    jobs: Jobs = None,
    max_memory: MaxMemory = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Decompress .vcb files: images to PNG pictures, vectors to .npy or .parquet.

    Every checksum is verified: a damaged file gives an error, never a wrong signal. A file that
    ends after a stage opens with --stages.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.console import say
    from vocabula.cli.runs import (
        counted,
        default_jobs,
        keeping_finished,
        limits_of,
        open_run,
    )
    from vocabula.codec import offered_models
    from vocabula.errors import OptionError
    from vocabula.files.packaged import packaged_as
    from vocabula.pipelines.decompress import decompress_files, decompression_for
    from vocabula.pipelines.targets import list_files

    run, files = split_run(files)
    run = packaged_run(files) if run is None else run
    if run is None and prior is not None:
        raise OptionError(
            f"--prior: expected a run with it, got none; name the run that compressed {files[0]}"
        )
    tokenizer = None if run is None else open_run(run, device)
    own = None if run is None else packaged_as(run)
    if own is not None and prior is None:
        prior = str(own.prior)
    models = [] if tokenizer is None else offered_models(tokenizer, prior=prior)
    with keeping_finished(), counted("decompressing", len(list_files(files))) as advance:
        written = decompress_files(
            tokenizer,
            files,
            out,
            models=models,
            stages=stages,
            limits=limits_of(max_memory),
            jobs=default_jobs(jobs),
            overwrite=overwrite,
            advance=advance,
        )
    for path in written:
        say(str(path))
    made = f"wrote {plural(len(written), decompression_for(tokenizer).thing)}"
    if run is None:
        close(made, "see what a file holds", "inspect", files[0])
    else:
        close(made, "measure what was lost", "evaluate", run, "ORIGINALS")


def split_run(words: list[str]) -> tuple[str | None, list[str]]:
    """The run, if the first word is one, and the files: a run is a folder, or no file at all.

    Raises:
        OptionError: there is a run but no file.
    """
    from vocabula.errors import OptionError

    first = Path(words[0]).expanduser()
    if first.suffix == ".vcb" or first.is_file():
        return None, words
    if len(words) == 1:
        raise OptionError(
            f"decompress: expected files after the run {words[0]}, got none; name the .vcb files"
        )
    return words[0], words[1:]


def packaged_run(files: list[str]) -> str | None:
    """The name of the package's tokenizer that made the first file; None of files of others.

    Raises:
        CodecError: a tokenizer of another release of the package made it.
    """
    from vocabula.codec.reader import Reader, opened
    from vocabula.errors import CodecError
    from vocabula.files.packaged import packaged, packaged_of
    from vocabula.pipelines.targets import list_files

    for path, _ in list_files(files)[:1]:
        with opened(path) as (file, name):
            header = Reader(file, name).header
        own = packaged_of(header.fingerprint)
        if own is not None:
            return own.name
        if header.packaged:
            carried = ", ".join(packaged()) or "none"
            raise CodecError(
                f"{path}: expected a tokenizer that this build carries ({carried}), got a file of "
                f"{header.packaged}, which another release of vocabula carries; update vocabula"
            )
    return None
