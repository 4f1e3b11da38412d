"""``vocabula compress``: from signals to small files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.inputs import check_run, checked, existing
from vocabula.cli.runs import (
    BatchSize,
    Device,
    Entropy,
    Jobs,
    Overwrite,
    Prior,
    Stages,
    Strict,
)
from vocabula.errors import OptionError
from vocabula.files.packaged import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vocabula.pipelines.compress import Compressed

EXAMPLES = """[bold]Examples[/bold]

  vocabula compress photo.png                                 with the package's own tokenizer

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


def _checked(context: typer.Context, words: list[str]) -> list[str]:
    """The words, after a check that the run and the files are there; see `split_run`."""
    if context.resilient_parsing:
        return words
    run, files = split_run(words)
    checked(check_run)(context, run)
    arrays = [file for file in files if Path(file).suffix.lower() in ARRAYS]
    existing("a picture file")(context, [file for file in files if file not in arrays])
    existing("a file of vectors")(context, arrays)
    return words


def split_run(words: list[str]) -> tuple[str, list[str]]:
    """The run and the files: before a picture file no run means the package's own tokenizer.

    Raises:
        OptionError: there is a run but no file.
    """
    from vocabula.data.picture_formats import IMAGE_SUFFIXES

    first = Path(words[0]).expanduser()
    if first.is_file() or (first.suffix.lower() in IMAGE_SUFFIXES and not first.is_dir()):
        return DEFAULT, words
    if len(words) > 1:
        return words[0], words[1:]
    if first.is_dir() and not (first / "config.json").is_file():
        raise OptionError(
            f"compress: expected a RUN or a picture file first, got the folder {words[0]}; name "
            f"the tokenizer before it: vocabula compress {DEFAULT} {words[0]}"
        )
    raise OptionError(
        f"compress: expected files after the run {words[0]}, got none; name the picture files"
    )


def compress(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] FILES...",
            help="A run's folder or a saved tokenizer; without one, and as default, the package's "
            "own for photographs. Then pictures and folders of them; for a tokenizer of vectors "
            ".npy, .npz, .parquet and .csv files.",
            callback=_checked,
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
    entropy: Entropy = None,
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
            help="0 to 3: time spent on each signal to save bits, with a rate term: encode once, "
            "twice, refine the codes, refine them longer; default: 0.",
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

    run, files = split_run(files)
    tokenizer = open_run(run, device)
    compression = COMPRESSION.of(tokenizer.signal.kind)()
    fidelity = compression.closeness()
    model = open_entropy(tokenizer, entropy, prior, run)
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
    large = _room_for(written, tokenizer.channels)
    close(totals(written, fidelity), *opening, *large, "-o", decoded)


def _room_for(written: Sequence[Compressed], channels: int) -> tuple[str, ...]:
    """The option with which a picture opens that is larger than files may hold unasked."""
    from vocabula.codec import Limits

    sizes = [channels * one.units for one in written if one.items == 1 and one.unit == "pixel"]
    largest = max(sizes, default=0)
    if largest <= Limits().signal_size:
        return ()
    return ("--max-memory", str(-(-4 * int(largest) // 2**20)))


NAMED = 3
"""Most files that a command to copy names one by one."""


def _opening(run: str, files: list[Path], out: str | None, prior: str | None) -> tuple[str, ...]:
    """The command that opens what was written; files of the package's tokenizer need no RUN."""
    from vocabula.files.packaged import packaged_as

    words = "open" if len(files) <= NAMED or out is not None else "open the first"
    if len(files) > NAMED:
        files = files[:NAMED] if out is None else [Path(out)]
    options = ["--prior", prior] if prior is not None else []
    named = [] if packaged_as(run) else [run]
    return (words, "decompress", *named, *map(str, files), *options)
