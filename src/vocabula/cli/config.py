"""``vocabula config``: print, check and explain a preset with its overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
        bool, typer.Option("--explain", help="Values, defaults, what is accepted, meaning.")
    ] = False,
) -> None:
    """Print, check and explain presets and overrides. Every option is checked; nothing is run."""
    from vocabula.cli.console import note

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
    for line in loaded.notes:
        note(line)
    rows = training_config.explain(loaded)
    if explain:
        _print_explained(rows)
        return
    typer.echo(to_toml({row.option: row.value for row in rows}, loaded.description), nl=False)


def _list_presets() -> None:
    from vocabula.cli.facts import print_facts
    from vocabula.training.config import load_config
    from vocabula.training.preset_files import preset_names, prior_preset_names

    rows = [(name, load_config(name).description) for name in preset_names()]
    rows.append(("", "priors, for vocabula train-prior --model:"))
    rows += [(name, load_config(name).description) for name in prior_preset_names()]
    print_facts(rows)


def _print_explained(rows: list[ExplainedOption]) -> None:
    """Print every option with its description below it, indented and wrapped to the terminal."""
    from rich.text import Text

    from vocabula.cli.console import stdout_console
    from vocabula.cli.facts import wrapped

    console = stdout_console()
    for row in rows:
        head, meaning = explained(row)
        style = "bold yellow" if _is_changed(row) else "bold"
        if "." not in row.option:
            console.print()
        console.print(Text(head, style=style), soft_wrap=True)
        console.print("\n".join(wrapped(meaning, 4)), markup=False, soft_wrap=True)


def explained(row: ExplainedOption) -> tuple[str, str]:
    """``name = value`` of an option, with the default where it differs, and its description."""
    from vocabula.cli.toml import value_text

    head = f"{row.option} = {value_text(row.value)}"
    if _is_changed(row):
        head += f"  (default {value_text(row.default)})"
    return head, ": ".join(filter(None, [row.accepted, row.help]))


def _is_changed(row: ExplainedOption) -> bool:
    return row.default is not None and row.value != row.default
