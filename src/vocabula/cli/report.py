"""``vocabula report``: one HTML page about a tokenizer or a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vocabula.cli.evaluate import AlignmentFile
from vocabula.cli.inputs import check_data, check_run, checked
from vocabula.cli.runs import (
    BatchSize,
    Device,
    Limit,
    Overwrite,
    Strict,
    ValueRange,
    Workers,
)

EXAMPLES = """[bold]Examples[/bold]

  vocabula report runs/first held-out/                       writes runs/first/report.html

  vocabula report runs/first held-out/ -o page.html --examples 16

  vocabula report priors/first                               of a trained prior: samples, nats

  vocabula report priors/first test.parquet --samples 100    measured on these tokens
"""


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PRIOR",
            help="A run's folder, a tokenizer or a prior.",
            callback=checked(check_run),
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="Of a RUN: signals, as for evaluate. Of a PRIOR: tokens to measure on; left out, "
            "what was held out in training.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; default RUN/report.html."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, max=64, help="Signals to show of a RUN; default 8.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Signals to draw from a PRIOR; default 64.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the draws from a PRIOR; default 0.")
    ] = None,
    limit: Limit = None,
    alignment: AlignmentFile = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained HTML page.

    Of a tokenizer it shows reconstructions beside originals, code maps, what each codeword decodes
    to (of vectors: error by book, and the vectors nearest to codewords), the usage of the codebook,
    the training curves and the settings. Of a prior it shows
    samples, the training signals nearest to them, and how well it predicts held-out codes beside
    models that count.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.reading import check_apart_from
    from vocabula.cli.runs import folder_beside
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import is_prior

    folder = run_folder(run)
    page = Path(out) if out is not None else folder_beside(run, "report.html")
    if data is not None:
        check_apart_from(data, page)
    of_images = {
        "--examples": examples,
        "--limit": limit,
        "--workers": workers,
        "--value-range": value_range,
        "--strict": strict or None,
        "--alignment": alignment,
    }
    of_priors = {"--samples": samples, "--seed": seed}
    common: dict[str, Any] = {"batch_size": batch_size, "overwrite": overwrite}
    if is_prior(folder):
        _refuse(of_images, "a prior")
        common |= {"samples": samples or 64, "seed": seed or 0, "batch_size": batch_size or 64}
        step = ["draw from it", "sample", run, "-o"]
        step.append(_report_prior(folder, data, page, device, common))
    else:
        _refuse(of_priors, "a tokenizer")
        common |= {"examples": examples or 8, "limit": limit, "workers": workers}
        common["alignment"] = alignment
        _report_run(run, data, page, device, strict, value_range, common)
        step = ["set it beside others", "compare", run, "OTHER", str(data), "-o", "runs.html"]
    close(f"report: {page}", *step)


def _refuse(options: dict[str, Any], what: str) -> None:
    """Refuse options that do not apply here."""
    from vocabula.errors import OptionError

    for name, value in options.items():
        if value is not None:
            raise OptionError(f"{name}: expected none in the report of {what}; leave it out")


def _report_run(
    run: str,
    data: str | None,
    page: Path,
    device: str,
    strict: bool,
    value_range: tuple[float, float] | None,
    options: dict[str, Any],
) -> None:
    from vocabula.cli.reading import open_data, reading_data
    from vocabula.cli.runs import open_run
    from vocabula.errors import OptionError

    if data is None:
        raise OptionError("DATA: expected signals to measure on, got none; add --help for examples")
    check_data(data)
    from vocabula.benchmark.rate import jpeg_beside
    from vocabula.evaluation.alignment import read_alignment
    from vocabula.files.packaged import run_folder
    from vocabula.reports import build_report

    with reading_data():
        tokenizer = open_run(run, device)
        source = open_data(
            data, tokenizer, run, held_out=True, strict=strict, value_range=value_range
        )
        folder = run_folder(run)
        if options["alignment"] is not None:
            options["alignment"] = read_alignment(options["alignment"])
        if tokenizer.signal.kind == "image":
            options["beside"] = jpeg_beside(tokenizer)
        build_report(tokenizer, source, page, run=folder, progress=True, **options)


def _report_prior(
    folder: Path, tokens: str | None, page: Path, device: str, options: dict[str, Any]
) -> str:
    """Report on a prior; returns the name of a file that its samples can be written to."""
    from vocabula.cli.drawing import open_generator
    from vocabula.cli.reading import plain_warnings
    from vocabula.data.media import MEDIA
    from vocabula.reports import build_prior_report

    generator = open_generator(str(folder), device)
    with plain_warnings():
        build_prior_report(generator, folder, page, tokens=tokens, progress=True, **options)
    return MEDIA.of(generator.tokenizer.signal.kind).samples
