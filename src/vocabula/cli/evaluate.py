"""``vocabula evaluate``: measure a tokenizer on signals."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vocabula.cli.inputs import existing
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

  vocabula evaluate runs/first held-out/

  vocabula evaluate runs/first held-out/ --json figures.json

  vocabula evaluate runs/first held-out/ --json - | jq .psnr

  vocabula evaluate runs/units voices/ --alignment phones.csv
"""

AlignmentFile = Annotated[
    str | None,
    typer.Option(
        "--alignment",
        metavar="TABLE",
        help="A .csv, .tsv or .parquet of path, start, end (seconds) and label, such as phones: "
        "adds how well codes stand for labels.",
        callback=existing("a table of path, start, end and label"),
    ),
]


def evaluate(
    run: Run,
    data: HeldOut,
    json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the figures; - prints them alone."),
    ] = None,
    alignment: AlignmentFile = None,
    limit: Limit = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    compare_codes: Annotated[
        bool | None,
        typer.Option(
            "--compare-codes/--no-compare-codes",
            help="Count codes that differ from float32 on the CPU; by default on other devices.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure error, bits, usage and perplexity: of images PSNR and SSIM, of vectors cosine."""
    from pathlib import Path

    from vocabula.cli.closing import close
    from vocabula.cli.console import say, stdout_console
    from vocabula.cli.figures import figures_json
    from vocabula.cli.reading import check_apart_from, open_data, reading_data
    from vocabula.cli.runs import open_run
    from vocabula.evaluation import evaluate as measure
    from vocabula.evaluation.alignment import read_alignment
    from vocabula.evaluation.result import figure_table
    from vocabula.evaluation.units import evaluate_units
    from vocabula.files import check_new_file, new_file

    if json is not None and json != "-":
        check_new_file(Path(json), overwrite=overwrite)
        check_apart_from(data, json)
    with reading_data():
        tokenizer = open_run(run, device)
        source = open_data(
            data, tokenizer, run, held_out=True, strict=strict, value_range=value_range
        )
        said = None if alignment is None else read_alignment(alignment)
        reading: dict[str, Any] = {
            "batch_size": batch_size,
            "limit": limit,
            "workers": workers,
            "progress": True,
        }
        result = measure(tokenizer, source, compare_codes=compare_codes, **reading)
        units = None if said is None else evaluate_units(tokenizer, source, said, **reading)
    more = {} if units is None else {"units": units.to_dict()}
    text = figures_json(result, tokenizer, run, more)
    if json == "-":
        for line in text.splitlines():
            say(line)
        return
    stdout_console().print(result.table(f"{run} on {source.name}"))
    if units is not None:
        stdout_console().print(figure_table(units.rows(), f"units beside {alignment}"))
    if json is not None:
        with new_file(Path(json), overwrite=overwrite) as draft:
            draft.write_text(text, encoding="utf-8")
        say(f"figures: {json}")
    close("", "see more on one page", "report", run, data)
