"""``vocabula config``: print, check and explain a preset with its overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from vocabula.training.config import ExplainedOption

EXAMPLES = """[bold]Examples[/bold]

  vocabula config                                     the presets, one line each

  vocabula config cifar10                             every option in force, as TOML

  vocabula config cifar10 quantizer.commitment_weight=0.5 > mine.toml

  vocabula config mine.toml --explain                 accepted values and meanings

  vocabula config transformer --explain               those of a prior, for vocabula train-prior
"""


def config(
    preset: Annotated[
        str | None,
        typer.Argument(help="A preset's name or a .toml file; left out, presets are listed."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="SECTION.OPTION=VALUE", help="Options to change."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="A table: value, default, accepted, meaning.")
    ] = False,
) -> None:
    """Print, check and explain presets and overrides. Every option is checked; nothing is run."""
    from vocabula.cli.console import stdout_console

    if preset is None:
        _list_presets()
        return
    from vocabula.cli.toml import to_toml
    from vocabula.errors import OptionError
    from vocabula.training import config as training_config

    if "=" in preset:
        raise OptionError(
            f"preset: expected a name before the overrides, got {preset!r}; "
            f"write vocabula config PRESET {preset}"
        )
    loaded = training_config.load_config(preset, overrides or [])
    rows = training_config.explain(loaded)
    if explain:
        stdout_console().print(_table(rows, preset))
        return
    typer.echo(to_toml({row.option: row.value for row in rows}, loaded.description), nl=False)


def _list_presets() -> None:
    from rich.table import Table

    from vocabula.cli.console import stdout_console
    from vocabula.training.config import load_config, preset_names, prior_preset_names

    table = Table(box=None, pad_edge=False)
    table.add_column("preset", style="bold", no_wrap=True)
    table.add_column("description")
    for name in preset_names():
        table.add_row(name, load_config(name).description)
    table.add_row("", "priors, for vocabula train-prior --model:", style="dim")
    for name in prior_preset_names():
        table.add_row(name, load_config(name).description)
    stdout_console().print(table)


def _table(rows: list[ExplainedOption], title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vocabula.cli.toml import value_text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("option", overflow="fold", style="bold")
    for name in ("value", "default", "accepted", "meaning"):
        table.add_column(name, overflow="fold")
    for row in rows:
        if "." not in row.option:
            table.add_section()
        default = "" if row.default is None else value_text(row.default)
        changed = row.default is not None and row.value != row.default
        value = Text(value_text(row.value), style="yellow" if changed else "")
        table.add_row(row.option, value, Text(default), Text(row.accepted), Text(row.help))
    return table
