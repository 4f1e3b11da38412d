"""``vocabula train-prior``: from a tokenizer and its codes to a folder that draws new signals."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli.inputs import check_run, check_tokens, checked

EXAMPLES = """[bold]Examples[/bold]

  vocabula train-prior runs/first tokens.parquet --model transformer --out priors/first

  vocabula train-prior runs/first tokens.parquet --model pixelcnn --out priors/small prior.layers=4

  vocabula train-prior runs/first tokens.parquet --model transformer --out priors/first --resume

  vocabula train-prior runs/first tokens.parquet --model transformer --out priors/text \\
      --captions captions.parquet

Options are listed and explained by: vocabula config MODEL --explain
"""


def train_prior(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The tokenizer's run or a saved tokenizer.",
            callback=checked(check_run),
        ),
    ],
    tokens: Annotated[
        str,
        typer.Argument(
            metavar="TOKENS",
            help="What vocabula encode wrote with it: a file, a folder of parts or a pattern.",
            callback=checked(check_tokens),
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.OPTION=VALUE",
            help="Options of the model to change, such as training.steps=2000.",
        ),
    ] = None,
    *,
    model: Annotated[
        str,
        typer.Option(
            help="pixelcnn, pixelsnail, transformer, portable, portable-photos or a .toml file; "
            "see vocabula config."
        ),
    ],
    out: Annotated[str, typer.Option("-o", "--out", metavar="PRIOR", help="The folder to write.")],
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Condition on text: a .parquet or .tar of captions, or a folder of .txt files.",
        ),
    ] = None,
    caption_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of texts in the .parquet.")
    ] = None,
    no_classes: Annotated[
        bool, typer.Option("--no-classes", help="Ignore labels and other attributes in TOKENS.")
    ] = False,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="TOKENS", help="Codes to measure on; left out, a share of TOKENS is held out."
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train this level only, 1 for the coarsest; default: all."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in PRIOR; starts it where none is.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in PRIOR.")
    ] = False,
) -> None:
    """Train a prior over codes, or one for each level. Ctrl-C stops in good order.

    Labels and other attributes in TOKENS become conditions. The weights that predict held-out codes
    best are kept.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.console import note, say
    from vocabula.cli.process import lonely_launch
    from vocabula.cli.reading import plain_warnings
    from vocabula.cli.runs import open_run
    from vocabula.data.media import MEDIA
    from vocabula.training.config import load_config

    config = load_config(model, overrides or [])
    for line in config.notes:
        note(line)
    tokenizer = open_run(run, "cpu")  # if the run is unfinished, it says how to continue
    from vocabula.training import train_prior as run_training

    if alone := lonely_launch():
        note(alone)
    with plain_warnings():
        result = run_training(
            config,
            run,
            tokens,
            out,
            captions=captions,
            caption_column=caption_column,
            held_out=held_out,
            classes=not no_classes,
            level=level,
            resume=resume,
            overwrite=overwrite,
        )
    for figures in result["levels"]:
        earlier = "neighbours" if tokenizer.signal.axes else "the book before"
        say(_sentence(figures, len(result["levels"]), earlier))
    samples = MEDIA.of(tokenizer.signal.kind).samples
    close(f"prior: {result['out']}", "draw from it", "sample", out, "-o", samples)


def _sentence(figures: dict[str, float], levels: int, earlier: str) -> str:
    """A level's result on held-out codes, in one line.

    Args:
        figures: of the level.
        levels: how many there are.
        earlier: what the better model of counts knows.
    """
    name = f"level {figures['level']}: " if levels > 1 else ""
    above = figures["left_and_above"]
    beside = figures["left"] if above is None else min(figures["left"], above)
    return (
        f"{name}{figures['nats_per_token']:.4f} nats per token held out (step {figures['step']}); "
        f"counting: uniform {figures['uniform']:.4f}, order 0 {figures['order0']:.4f}, "
        f"{earlier} {beside:.4f}; {figures['bits_per_dim']:.4f} bits/dim of codes"
    )
