"""``vocabula decode``: from a file of codes back to signals."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.drawing import Settings, settings_of
from vocabula.cli.inputs import check_tokens, checked
from vocabula.cli.runs import BatchSize, Device, Overwrite, Run

EXAMPLES = """[bold]Examples[/bold]

  vocabula decode runs/first tokens.parquet -o decoded/

  vocabula decode runs/states tokens.parquet -o decoded.npy

  vocabula decode runs/speech tokens.parquet -o "decoded/*.flac"

  vocabula decode runs/digits tokens.parquet -o sevens/ --condition class=7
"""


def decode(
    run: Run,
    tokens: Annotated[
        str,
        typer.Argument(
            metavar="TOKENS",
            help="What vocabula encode wrote: a file, a folder of parts or a pattern.",
            callback=checked(check_tokens),
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Of images and recordings the folder to write (of recordings also DIR/*.flac, or "
            "a .wav or .flac for one); of vectors a .npy or .parquet file.",
        ),
    ],
    settings: Settings = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Decode codes: to PNG or WAV files of the originals' names, of vectors to one file.

    A decoder that takes attributes gets those in TOKENS, or the values of --condition.

    With --overwrite files of the same name are replaced; all others in a folder stay.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.reading import plain_warnings
    from vocabula.cli.runs import open_run
    from vocabula.pipelines import decode_tokens

    tokenizer = open_run(run, device)
    with plain_warnings():
        files = decode_tokens(
            tokenizer,
            tokens,
            out,
            attributes=dict(settings_of(settings)),
            batch_size=batch_size,
            overwrite=overwrite,
            progress=True,
        )
    kind = tokenizer.signal
    made = f"decoded {kind.counted(len(files)) if kind.axes else kind.plural}: {out}"
    close(made, "measure what was lost", "evaluate", run, "ORIGINALS")
