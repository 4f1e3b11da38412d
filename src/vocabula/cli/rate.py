"""``vocabula rate``: bits and fidelity of compressed files against classical codecs."""

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
from vocabula.errors import OptionError

if TYPE_CHECKING:
    from vocabula.tokenizers import SignalTokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula rate runs/first held-out/                        writes runs/first/rate/

  vocabula rate runs/first held-out/ --entropy static -o rates/static

  vocabula rate runs/first cifar10/test.parquet --limit 1000 --jobs 4

  vocabula rate runs/speech recordings/test
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
    """Measure bits and fidelity of compressed files beside classical codecs.

    Every picture is compressed to a file of its own with each number of stages that the tokenizer
    offers, and decoded; bytes are those of whole files, headers included. JPEG (optimized, 4:2:0),
    WebP (method 6), AVIF (speed 6) and JPEG XL (effort 7, with pillow-jxl-plugin) are written by
    Pillow in two neighbouring qualities, one of fewer and one of more bytes than our file, and
    their figures interpolated on the logarithm of the bytes. Beside them stand BD-rates, the times
    of a picture, and the bits of these codes under the counts of the training codes.

    Recordings all go into one file, and are measured by log-mel distance and STOI, in bits per
    second of payload and of the whole file. Opus and Codec2 are measured where opusenc, opusdec,
    c2enc and c2dec are installed, on all recordings joined.
    """
    from pathlib import Path

    from vocabula.benchmark.rate import FIGURES, RATES
    from vocabula.cli.closing import close
    from vocabula.cli.console import say
    from vocabula.cli.facts import print_table
    from vocabula.cli.reading import open_data, reading_data
    from vocabula.cli.runs import (
        default_jobs,
        folder_beside,
        keeping_finished,
        open_entropy,
        open_run,
    )
    from vocabula.files import check_new_folder, new_folder

    folder = folder_beside(run, "rate") if out is None else Path(out)
    check_new_folder(folder, overwrite=overwrite)
    with keeping_finished(), reading_data():
        tokenizer = open_run(run, device)
        kind = tokenizer.signal
        if kind.kind not in RATES.kinds():
            raise OptionError(
                f"rate: expected a tokenizer of images or recordings, got one of {kind.plural}; "
                "no classical codec is known for them"
            )
        rates = RATES.of(kind.kind)()
        model = open_entropy(tokenizer, entropy, prior, run)
        source = open_data(
            data, tokenizer, run, held_out=True, strict=strict, value_range=value_range
        )
        with new_folder(folder, overwrite=overwrite, last=FIGURES) as hidden:
            study = rates.measure(
                tokenizer,
                source,
                entropy=model,
                limit=limit,
                batch_size=batch_size,
                jobs=default_jobs(jobs),
                progress=True,
            )
            rates.write(hidden, study, _about(run, tokenizer, rates.reader))
    for table in rates.tables(study):
        print_table(table)
    say(rates.verdict(study))
    step = ("compress", run, rates.files, "-o", "compressed")
    close(f"figures: {folder}", "make such files", *step)


def _about(run: str, tokenizer: SignalTokenizer, reader: str) -> dict[str, str]:
    """The settings of the measurement."""
    from importlib.metadata import version

    import vocabula

    return {
        "format": "vocabula-rate",
        "run": run,
        "fingerprint": tokenizer.fingerprint(),
        "vocabula": vocabula.__version__,
        reader: version(reader),
    }
