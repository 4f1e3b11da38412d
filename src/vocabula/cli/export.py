"""``vocabula export``: a run as a folder to share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.inputs import check_data, check_run, checked
from vocabula.cli.runs import BatchSize, Device, Limit, Overwrite, Strict, ValueRange
from vocabula.errors import plural

if TYPE_CHECKING:
    from vocabula.data import Source
    from vocabula.pipelines.export import Exported
    from vocabula.tokenizers import SignalTokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula export runs/first shared/first                 measured on its data's test split

  vocabula export runs/first shared/first --data held-out/

  vocabula export runs/first shared/half --half             half the size: weights of 16 bits

  vocabula export priors/first shared/prior                 a prior with its tokenizer
"""


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PRIOR",
            help="A run's folder, a tokenizer or a prior.",
            callback=checked(check_run),
        ),
    ],
    out: Annotated[str, typer.Argument(metavar="DIR", help="The folder to write.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Images that RUN did not learn from, measured for the card; default: the test "
            "split of its data, where they have one.",
            callback=checked(check_data),
        ),
    ] = None,
    limit: Limit = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Round weights to 16 bits: half the size. A tokenizer becomes another one: encode "
            "and train priors with the copy. A prior's tokenizer stays the same.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write all that opens and makes files of RUN, with a card, and nothing else.

    The folder opens everywhere: vocabula.load("DIR"), every command that takes a RUN, and a model
    hub. It holds settings, weights, counts of the training codes and a card with held-out figures.
    """
    from vocabula.cli.console import note
    from vocabula.cli.reading import reading_data
    from vocabula.cli.runs import open_run
    from vocabula.errors import OptionError
    from vocabula.files import check_new_folder
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import is_prior
    from vocabula.pipelines.export import export_prior, export_tokenizer
    from vocabula.tokenizers.code_statistics import FILE as STATISTICS

    folder = run_folder(run)
    check_new_folder(Path(out), overwrite=overwrite)
    if is_prior(folder):
        if data is not None:
            raise OptionError(
                "--data: expected none for a prior, got some; its card holds its own figures"
            )
        done = export_prior(folder, out, half=half, overwrite=overwrite)
        _say(done, "vocabula.priors.load_generator")
        return
    with reading_data():
        tokenizer = open_run(run, device)
        source = _held_out(data, tokenizer, run, strict, value_range)
        done = export_tokenizer(
            folder,
            out,
            tokenizer=tokenizer,
            held_out=source,
            batch_size=batch_size,
            limit=limit,
            half=half,
            overwrite=overwrite,
            progress=True,
        )
    if done.figures is None:
        note("the card has no new held-out figures: add --data with data RUN did not learn from")
    if STATISTICS not in done.files and all(level.codebook_sizes for level in tokenizer.levels):
        note(f"no counts of training codes in {out}: vocabula counts makes smaller files possible")
    _say(done, "vocabula.load")


def _held_out(
    data: str | None,
    tokenizer: SignalTokenizer,
    run: str,
    strict: bool,
    value_range: tuple[float, float] | None,
) -> Source | None:
    """The images named, else the test split of the run's data, if it is there."""
    from vocabula.cli.console import note
    from vocabula.cli.reading import open_data
    from vocabula.data import default_evaluation
    from vocabula.errors import DataError
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import read_manifest

    if data is not None:
        return open_data(
            data, tokenizer, run, held_out=True, strict=strict, value_range=value_range
        )
    trained = read_manifest(run_folder(run)).get("data")
    chosen = default_evaluation(trained) if isinstance(trained, str) else None
    if chosen is None:
        return None
    try:
        source = open_data(chosen, tokenizer, run, strict=strict, value_range=value_range)
    except DataError:
        return None
    note(f"measuring on {chosen}")
    return source


def _say(done: Exported, opens: str) -> None:
    from vocabula.cli.console import say

    say(f"exported {plural(len(done.files), 'file')}, {done.bytes / 1e6:.1f} MB: {done.folder}")
    say(f"open it in Python with {opens}({str(done.folder)!r})")
