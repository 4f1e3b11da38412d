"""``vocabula convert``: signals decoded with other attributes, such as another voice."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.drawing import Settings, settings_of
from vocabula.cli.inputs import check_data, checked
from vocabula.cli.runs import BatchSize, Device, Overwrite, Run, Strict, Workers

EXAMPLES = """[bold]Examples[/bold]

  vocabula convert runs/units voices/*.wav --condition speaker=theo -o converted/

  vocabula convert runs/units hello.wav --condition speaker=theo -o hello-theo.wav

  vocabula convert runs/digits digits/ --condition class=7 -o sevens/
"""


def convert(
    run: Run,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Signals of the run's kind: files or folders of recordings or images, arrays.",
            callback=checked(check_data),
        ),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="As of vocabula decode: of images and recordings a folder (of recordings also "
            "DIR/*.flac, or a .wav or .flac for one); of vectors a .npy or .parquet file.",
        ),
    ],
    settings: Settings = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Encode signals and decode them with other attributes: the same words in another voice.

    The run needs a decoder that takes attributes. Attributes without --condition are those of the
    signals, as their names or folders tell.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.reading import open_data, reading_data
    from vocabula.cli.runs import open_run
    from vocabula.pipelines.convert import check_apart_from_inputs, chosen_values, convert_signals

    attributes = dict(settings_of(settings))
    check_apart_from_inputs(out, files)
    with reading_data():
        tokenizer = open_run(run, device)
        chosen = chosen_values(tokenizer, attributes)
        kept = set(tokenizer.decoder_attributes) > set(chosen)  # then names tell the others
        sources = [
            open_data(place, tokenizer, run, strict=strict, attributes=kept) for place in files
        ]
        written = convert_signals(
            tokenizer,
            sources,
            out,
            attributes=chosen,
            batch_size=batch_size,
            workers=workers,
            overwrite=overwrite,
            progress=True,
        )
    kind = tokenizer.signal
    made = f"converted {kind.counted(len(written)) if kind.axes else kind.plural}: {out}"
    close(made)
