"""``vocabula compare``: several tokenizers on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.inputs import check_data, check_run, checked
from vocabula.cli.runs import BatchSize, Device, Limit, Overwrite, Strict, ValueRange, Workers

if TYPE_CHECKING:
    from vocabula.tokenizers import SignalTokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula compare runs/small runs/large held-out/           a table and compare.html

  vocabula compare runs/* held-out/ -o page.html --json figures.json
"""


def checked_words(context: typer.Context, words: list[str]) -> list[str]:
    """The words, after a check that the runs and the data are there."""
    if len(words) > 2 and not context.resilient_parsing:
        checked(check_run)(context, words[:-1])
        checked(check_data)(context, words[-1])
    return words


def compare(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN... DATA",
            help="Two or more runs or saved tokenizers, then the images: a folder, .parquet, .npy, "
            ".npz or a sample; of data with several splits the test split.",
            callback=checked_words,
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="The page.")
    ] = "compare.html",
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the figures, too.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, max=64, help="Images to show.")] = 6,
    limit: Limit = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure several tokenizers on the same images: one table and one page."""
    from vocabula.cli.closing import close
    from vocabula.cli.console import say, stdout_console
    from vocabula.cli.figures import comparison_json
    from vocabula.cli.reading import open_data, reading_data
    from vocabula.files import new_file
    from vocabula.reports.compare import compare_tokenizers
    from vocabula.reports.comparison_page import build_comparison, comparison_table

    *runs, data = words
    _check_outputs(data, out, json, overwrite)
    with reading_data():
        tokenizers = _open_all(runs, device)
        first = next(iter(tokenizers.values()))
        source = open_data(
            data, first, runs[0], held_out=True, strict=strict, value_range=value_range
        )
        compared = compare_tokenizers(
            tokenizers, source, batch_size=batch_size, limit=limit, workers=workers, progress=True
        )
        build_comparison(tokenizers, compared, source, out, examples=examples, overwrite=overwrite)
    figures = compared[0].figures
    title = f"{figures.signal.counted(figures.count)} of {source.name}"
    stdout_console().print(comparison_table(compared, title))
    if json is not None:
        with new_file(Path(json), overwrite=overwrite) as draft:
            draft.write_text(comparison_json(compared), encoding="utf-8")
        say(f"figures: {json}")
    close(f"page: {out}", "see one run closely", "report", runs[0], data)


def _check_outputs(data: str, out: str, json: str | None, overwrite: bool) -> None:
    """Refuse outputs that are there, that are read, or that are one and the same."""
    from vocabula.cli.reading import check_apart_from
    from vocabula.errors import OptionError
    from vocabula.files import check_new_file, real_place

    for path in filter(None, (out, json)):
        check_new_file(Path(path), overwrite=overwrite)
        check_apart_from(data, path)
    if json is not None and real_place(Path(json)) == real_place(Path(out)):
        raise OptionError(
            f"--json: expected a file apart from the page, got {json} for both; choose another"
        )


def _open_all(runs: list[str], device: str) -> dict[str, SignalTokenizer]:
    """The tokenizers of two or more runs, by the runs as they are named."""
    from vocabula.cli.runs import open_run
    from vocabula.errors import OptionError

    if len(runs) < 2:
        raise OptionError(
            f"compare: expected two or more runs, then DATA, got {len(runs)}; use vocabula "
            "evaluate for one run"
        )
    tokenizers: dict[str, SignalTokenizer] = {}
    for run in runs:
        name = run.rstrip("/")
        if name in tokenizers:
            raise OptionError(f"compare: expected different runs, got {name} twice; drop one")
        tokenizers[name] = open_run(run, device)
    return tokenizers
