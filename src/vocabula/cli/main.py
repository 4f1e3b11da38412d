"""The command line ``vocabula``: one file per command, with heavy imports deferred."""

from __future__ import annotations

from typing import Annotated

import typer

from vocabula.cli import (
    benchmark,
    blocks,
    compare,
    complete,
    compress,
    config,
    convert,
    counts,
    decode,
    decompress,
    encode,
    evaluate,
    export,
    info,
    inspect,
    palette,
    rate,
    report,
    sample,
    train,
    train_prior,
)
from vocabula.cli.groups import Commands
from vocabula.cli.process import (
    alone,
    catch_stops,
    collect_garbage_rarely,
    keep_freed_memory,
    ready_streams,
)

HELP = (
    "Learn a discrete vocabulary for images, sound or vectors: train, judge and use tokenizers."
    "\n\n"
    "A RUN is a folder written by [bold]train[/bold], a saved tokenizer, or [bold]default[/bold], "
    "the tokenizer of photographs that comes with the package. DATA is a folder of pictures or "
    "recordings, .parquet, .npy, .npz or .csv, tar shards, [bold]hf:NAME:SPLIT[/bold], or a "
    "built-in sample: [bold]sample:photos[/bold], [bold]sample:digits[/bold], "
    "[bold]sample:tones[/bold]."
)

EXAMPLES = """[bold]Examples[/bold]

  vocabula train photos/ --preset photos --out runs/first

  vocabula evaluate runs/first held-out/

  vocabula compress photo.png

  vocabula report runs/first held-out/ -o report.html
"""

app = typer.Typer(
    name="vocabula",
    cls=Commands,
    help=HELP,
    epilog=EXAMPLES,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = (
    train,
    evaluate,
    compare,
    export,
    encode,
    decode,
    convert,
    compress,
    decompress,
    inspect,
    counts,
    rate,
    report,
    train_prior,
    sample,
    complete,
    palette,
    blocks,
    config,
    info,
    benchmark,
)
IN_EVERY_PROCESS = (train, train_prior, encode)
"""Commands that a launcher may start in several processes; of others one process does the work."""

for module in COMMANDS:
    function = module.__name__.rpartition(".")[2]
    command = getattr(module, function)
    shared = command if module in IN_EVERY_PROCESS else alone(command)
    app.command(function.replace("_", "-"), epilog=module.EXAMPLES)(shared)


def _print_version(wanted: bool) -> None:
    if wanted:
        import vocabula

        typer.echo(f"vocabula {vocabula.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            envvar="VOCABULA_IMPORT",
            help="Import a module first, by its dotted name or the path of its .py file, for the "
            "components that it registers; may be given several times.",
        ),
    ] = None,
) -> None:
    from vocabula.signatures.imported import import_modules

    import_modules(imports or [])
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main() -> None:
    """Entry point of the command ``vocabula``."""
    collect_garbage_rarely()
    keep_freed_memory()
    ready_streams()
    catch_stops()
    app(prog_name="vocabula")


if __name__ == "__main__":
    main()
