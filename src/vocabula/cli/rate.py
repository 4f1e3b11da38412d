"""``vocabula rate``: bits and fidelity of compressed files against JPEG and WebP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.runs import (
    BatchSize,
    Device,
    Entropy,
    HeldOut,
    Jobs,
    Limit,
    Overwrite,
    Prior,
    Run,
    Strict,
    ValueRange,
)

if TYPE_CHECKING:
    from vocabula.tokenizers import SignalTokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula rate runs/first held-out/                        writes runs/first/rate/

  vocabula rate runs/first held-out/ --entropy static -o rates/static

  vocabula rate runs/first cifar10/test.parquet --limit 1000 --jobs 4
"""


def rate(
    run: Run,
    data: HeldOut,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="The folder for rate.json, rate.csv and rate.png; default: RUN/rate.",
        ),
    ] = None,
    entropy: Entropy = "adaptive",
    prior: Prior = None,
    limit: Limit = None,
    batch_size: BatchSize = None,
    jobs: Jobs = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure bits per pixel and PSNR of compressed files beside JPEG and WebP of the same size.

    Every picture is compressed to a file of its own with each number of stages that the tokenizer
    offers, and decoded; bytes are those of whole files, headers included. JPEG (optimized, 4:2:0)
    and WebP (method 6) are written by Pillow in two neighbouring qualities, one of fewer and one of
    more bytes than our file, and their figures interpolated on the logarithm of the bytes.
    """
    from pathlib import Path

    from vocabula.benchmark.rate import (
        FIGURES,
        measure_rates,
        rate_tables,
        verdict,
        write_rates,
    )
    from vocabula.cli.closing import close
    from vocabula.cli.console import say
    from vocabula.cli.facts import print_table
    from vocabula.cli.reading import open_images, reading_data
    from vocabula.cli.runs import default_jobs, keeping_finished, open_entropy, open_run
    from vocabula.files import check_new_folder, new_folder

    folder = Path(run).expanduser() / "rate" if out is None else Path(out)
    check_new_folder(folder, overwrite=overwrite)
    with keeping_finished(), reading_data():
        tokenizer = open_run(run, device)
        model = open_entropy(tokenizer, entropy, prior)
        source = open_images(
            data, tokenizer, run, "rate", held_out=True, strict=strict, value_range=value_range
        )
        with new_folder(folder, overwrite=overwrite, last=FIGURES) as hidden:
            study = measure_rates(
                tokenizer,
                source,
                entropy=model,
                limit=limit,
                batch_size=batch_size,
                jobs=default_jobs(jobs),
                progress=True,
            )
            write_rates(hidden, study, _about(run, tokenizer))
    for table in rate_tables(study):
        print_table(table)
    say(verdict(study))
    step = ("compress", run, "PICTURES", "-o", "compressed")
    close(f"figures: {folder}", "make such files", *step)


def _about(run: str, tokenizer: SignalTokenizer) -> dict[str, str]:
    """The settings of the measurement."""
    import PIL

    import vocabula

    return {
        "format": "vocabula-rate",
        "run": run,
        "fingerprint": tokenizer.fingerprint(),
        "vocabula": vocabula.__version__,
        "pillow": PIL.__version__,
    }
