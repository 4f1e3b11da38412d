"""``vocabula decode``: from a file of codes back to images."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.inputs import existing
from vocabula.cli.runs import BatchSize, Device, Overwrite, Run
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula decode runs/first tokens.parquet -o decoded/
"""


def decode(
    run: Run,
    tokens: Annotated[
        str,
        typer.Argument(
            metavar="TOKENS",
            help="A file that vocabula encode wrote.",
            callback=existing("a file of tokens"),
        ),
    ],
    out: Annotated[str, typer.Option("-o", "--out", metavar="DIR", help="The folder to write.")],
    batch_size: BatchSize = 64,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Decode codes to PNG files, named after the images that they came from.

    With --overwrite files of the same name are replaced; all others in DIR stay.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.runs import open_run
    from vocabula.pipelines import decode_tokens

    tokenizer = open_run(run, device)
    files = decode_tokens(
        tokenizer, tokens, out, batch_size=batch_size, overwrite=overwrite, progress=True
    )
    made = f"decoded {plural(len(files), 'image')}: {out}"
    close(made, "measure what was lost", "evaluate", run, "ORIGINALS")
