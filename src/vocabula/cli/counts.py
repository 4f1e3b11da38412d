"""``vocabula counts``: learn how often each code occurs, for the entropy models."""

from __future__ import annotations

from vocabula.cli.runs import BatchSize, Data, Device, Limit, Overwrite, Run, Strict, ValueRange
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula counts runs/first photos/
"""


def counts(
    run: Run,
    data: Data,
    limit: Limit = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    value_range: ValueRange = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Count the codes of images and keep the counts in RUN, for smaller files.

    vocabula train does so at its end. Files that were compressed with other counts need those to be
    opened, so existing ones are replaced with --overwrite only.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.reading import open_data, reading_data
    from vocabula.cli.runs import counted, folder_beside, open_run
    from vocabula.files import check_new_file
    from vocabula.pipelines import learn_statistics
    from vocabula.tokenizers.code_statistics import FILE

    file = folder_beside(run, FILE)
    check_new_file(file, overwrite=overwrite)
    with reading_data():
        tokenizer = open_run(run, device)
        source = open_data(data, tokenizer, run, strict=strict, value_range=value_range)
        with counted("counting", len(source) if limit is None else limit) as advance:
            statistics = learn_statistics(
                tokenizer, source, batch_size=batch_size, limit=limit, advance=advance
            )
    statistics.save(file.parent)
    made = f"counted {plural(int(statistics.counts[0].sum()), 'code')} a book: {file}"
    close(made, "compress with them", "compress", run, "PICTURES", "-o", "compressed")
