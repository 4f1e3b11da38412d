"""``vocabula train``: from signals to a run folder with a trained tokenizer."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.inputs import check_run, checked
from vocabula.cli.process import lonely_launch
from vocabula.cli.runs import Data, Strict
from vocabula.errors import plural

EXAMPLES = """[bold]Examples[/bold]

  vocabula train photos/ --preset photos --out runs/first

  vocabula train photos/ --preset photos --out runs/first --resume

  vocabula train cifar10.parquet --preset cifar10 --out runs/k1024 quantizer.codebook_size=1024

  vocabula train states.npy --preset vectors --out runs/states

  vocabula train photos/ --preset photos-gan --from runs/first --out runs/natural \
    'training.stages=[{train=["look"], steps=2500}]'

  torchrun --nproc-per-node 2 --max-restarts 3 -m vocabula train photos/ --preset photos \
    --out runs/two --resume

Options are listed and explained by: vocabula config PRESET --explain
"""


def train(
    data: Data,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.OPTION=VALUE",
            help="Options of the preset to change, such as training.steps=2000.",
        ),
    ] = None,
    *,
    out: Annotated[str, typer.Option("-o", "--out", metavar="RUN", help="The folder to write.")],
    preset: Annotated[
        str, typer.Option(help="A preset's name or a .toml file; see vocabula config.")
    ] = "photos",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Begin as this run's tokenizer; the preset must have its encoders and quantizers.",
            callback=checked(check_run),
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in RUN; starts it where none is.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in RUN.")] = False,
    strict: Strict = False,
) -> None:
    """Train a tokenizer. Ctrl-C stops in good order and says how to continue."""
    from vocabula.cli.closing import close
    from vocabula.cli.console import note
    from vocabula.cli.reading import plain_warnings, say_split
    from vocabula.training.config import load_config

    changed = [*(overrides or []), *(["data.strict=true"] if strict else [])]
    config = load_config(preset, changed)
    for line in config.notes:
        note(line)
    from vocabula.training import train as run_training

    if alone := lonely_launch():
        note(alone)
    say_split(data, held_out=False)
    with plain_warnings():
        figures = run_training(config, data, out, start=start, resume=resume, overwrite=overwrite)
    steps = plural(figures["steps"], "step")
    made = f"trained {steps} in {figures['seconds']:.0f} s: {figures['out']}"
    close(made, "see what it does", "report", figures["out"], data)
