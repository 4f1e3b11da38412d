"""``vocabula report``: one HTML page about a tokenizer."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.runs import (
    BatchSize,
    Device,
    HeldOut,
    Limit,
    Overwrite,
    Run,
    Strict,
    ValueRange,
    Workers,
)

EXAMPLES = """[bold]Examples[/bold]

  vocabula report runs/first held-out/                       writes runs/first/report.html

  vocabula report runs/first held-out/ -o page.html --examples 16
"""


def report(
    run: Run,
    data: HeldOut,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; default RUN/report.html."),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, max=64, help="Images to show.")] = 8,
    limit: Limit = None,
    batch_size: BatchSize = 64,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained HTML page.

    It shows reconstructions beside originals, code maps, what each codeword decodes to, the usage
    of the codebook, the training curves and the settings.
    """
    from pathlib import Path

    from vocabula.cli.console import say
    from vocabula.cli.runs import open_data, open_run, reading_data
    from vocabula.evaluation import build_report

    folder = Path(run).expanduser()
    page = Path(out) if out is not None else folder / "report.html"
    with reading_data():
        tokenizer = open_run(run, device)
        source = open_data(
            data, tokenizer, run, held_out=True, strict=strict, value_range=value_range
        )
        build_report(
            tokenizer,
            source,
            page,
            run=folder,
            examples=examples,
            batch_size=batch_size,
            limit=limit,
            workers=workers,
            overwrite=overwrite,
            progress=True,
        )
    say(f"report: {page}")
