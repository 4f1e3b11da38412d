"""``vocabula encode``: from signals to a file of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vocabula.cli.process import alone
from vocabula.cli.runs import (
    BatchSize,
    Data,
    Device,
    Limit,
    Overwrite,
    Run,
    Strict,
    ValueRange,
    Workers,
)
from vocabula.errors import OptionError, plural

if TYPE_CHECKING:
    from vocabula.data.picture_cuts import Cut

EXAMPLES = """[bold]Examples[/bold]

  vocabula encode runs/first photos/ -o tokens.parquet

  vocabula encode runs/first photos/ -o tokens.parquet --limit 1000 --overwrite

  vocabula encode runs/first photos/ -o tokens.parquet --crop 64 --crops 12 --seed 0

  vocabula encode runs/first photos/ -o tokens.parquet --resize 64

  vocabula encode runs/rd photos/ -o low.parquet --quality 20

  vocabula encode runs/states states.npy -o tokens.parquet

  vocabula encode runs/first photos/ -o tokens/ --shards 100 --worker 0/4

  vocabula encode runs/first photos/ -o tokens/ --shards 100 --engine ray --actors 1..8

  vocabula encode runs/first hf:user/pictures:train -o tokens/ --shards 100
"""


def encode(
    run: Run,
    data: Data,
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The .parquet to write; with --shards the folder."
        ),
    ],
    limit: Limit = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    crop: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PIXELS", help="Encode squares of this side, cut at random places."
        ),
    ] = None,
    crops: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Squares of each image; default: 1.")
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Resize the shorter side to this first; without --crop keep the central square.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the places that --crop cuts at.")] = 0,
    quality: Annotated[
        float | None,
        typer.Option(
            metavar="Q",
            help="Of a tokenizer with a rate term: from 0, the fewest bits, to 100; default 50, as "
            "in training.",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Write N parts to a folder, each when it is complete; started again it goes on.",
        ),
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do the shards of worker I of N, from 0; default: as torchrun or Slurm says, "
            "else all.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Of the parts: parquet, or webdataset for tars of .codes.npy, .cls and .json.",
        ),
    ] = "parquet",
    max_broken: Annotated[
        float,
        typer.Option(
            "--max-broken",
            metavar="SHARE",
            help="Largest share of a shard's signals that may be broken; a table lists them.",
        ),
    ] = 0.1,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ray",
            help="Let Ray schedule the shards, on the cluster at RAY_ADDRESS or on this machine.",
        ),
    ] = None,
    actors: Annotated[
        str | None,
        typer.Option(
            metavar="LEAST..MOST",
            help="Processes of Ray that encode at once; default: 1.., as many as Ray grants.",
        ),
    ] = None,
    actor_cpus: Annotated[
        float | None, typer.Option(metavar="N", help="Processors of each of them; default: 1.")
    ] = None,
    actor_gpus: Annotated[
        float | None, typer.Option(metavar="N", help="GPUs of each of them; default: 0.")
    ] = None,
) -> None:
    """Encode signals to codes: codes, shape, path and label of each, and the tokenizer's hash.

    A prior learns from images of any sizes; --crop and --resize make equal squares of them.
    """
    parts = None if format == "parquet" else format
    for option, value in (("--worker", worker), ("--engine", engine), ("--format", parts)):
        if value is not None and shards is None:
            raise OptionError(
                f"{option}: expected --shards N with it, got {value} alone; add --shards 100"
            )
    from vocabula.cli.engines import engine_of

    chosen = engine_of(engine, actors, actor_cpus, actor_gpus, worker=worker, device=device)
    cut = _cut(crop, crops, resize, seed)
    options = {"strict": strict, "value_range": value_range}
    how: dict[str, Any] = {
        "limit": limit,
        "batch_size": batch_size,
        "workers": workers,
        "quality": quality,
        "overwrite": overwrite,
    }
    if shards is None:
        alone(_encode_file)(run, data, out, device, cut, options, **how)
        return
    from vocabula.cli.shards import encode_shards

    how |= {"shards": shards, "most_broken": max_broken, "format": format, "engine": chosen}
    encode_shards(run, data, out, device, worker, cut=cut, options=options, **how)


def _encode_file(
    run: str,
    data: str,
    out: str,
    device: str,
    cut: Cut | None,
    options: dict[str, Any],
    *,
    limit: int | None,
    **how: Any,
) -> None:
    """Encode to one file and say what it holds."""
    from pathlib import Path

    from vocabula.cli.closing import close
    from vocabula.cli.reading import check_apart_from, open_data, open_images, reading_data
    from vocabula.cli.runs import open_run
    from vocabula.data.cropped import CroppedSource
    from vocabula.data.media import MEDIA
    from vocabula.data.token_writer import check_name
    from vocabula.files import check_new_file
    from vocabula.pipelines import encode_dataset

    check_new_file(Path(out), overwrite=how["overwrite"])
    check_name(Path(out))
    check_apart_from(data, out)
    with reading_data():
        tokenizer = open_run(run, device)
        if cut is None:
            source = open_data(data, tokenizer, run, **options)
        else:
            images = open_images(data, tokenizer, run, "encode --crop, --resize", **options)
            source = CroppedSource(images, cut)
        most = None if limit is None else limit * source.crops
        count = encode_dataset(tokenizer, source, out, limit=most, progress=True, **how)
    signal = tokenizer.signal
    if cut is None:
        what = signal.counted(count)
    else:
        what = f"{plural(count, 'square')} of {cut.side} x {cut.side} pixels"
    made = f"encoded {what}: {out}"
    if cut is None:
        decoded = MEDIA.of(signal.kind).decoded
        close(made, "see what the codes hold", "decode", run, out, "-o", decoded)
    else:
        step = ("train-prior", run, out, "--model", "portable", "-o", "prior")
        close(made, "learn what is likely", *step)


def _cut(crop: int | None, crops: int | None, resize: int | None, seed: int) -> Cut | None:
    """The equal squares that the options ask for; None to encode whole images."""
    from vocabula.data.picture_cuts import Cut

    if crop is None and crops is not None:
        raise OptionError(
            f"--crops: expected --crop PIXELS with it, got --crops {crops} alone; add --crop 64"
        )
    if crop is None and resize is None:
        return None
    return Cut(crop, crops or 1, resize, seed)
