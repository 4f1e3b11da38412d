"""``vocabula encode``: from images to a file of codes."""

from __future__ import annotations

from typing import Annotated

import typer

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
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula encode runs/first photos/ -o tokens.parquet

  vocabula encode runs/first photos/ -o tokens.parquet --limit 1000 --overwrite
"""


def encode(
    run: Run,
    data: Data,
    out: Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="The .parquet to write.")],
    limit: Limit = None,
    batch_size: BatchSize = 64,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Encode images to codes: codes, shape, path and label of each, and the tokenizer's hash."""
    from vocabula.cli.console import say
    from vocabula.cli.runs import check_apart_from, open_data, open_run, reading_data
    from vocabula.evaluation import encode_dataset

    check_apart_from(data, out)
    with reading_data():
        tokenizer = open_run(run, device)
        source = open_data(data, tokenizer, run, strict=strict, value_range=value_range)
        count = encode_dataset(
            tokenizer,
            source,
            out,
            batch_size=batch_size,
            limit=limit,
            workers=workers,
            overwrite=overwrite,
            progress=True,
        )
    say(f"encoded {plural(count, 'image')}: {out}")
