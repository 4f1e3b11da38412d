"""Where commands print: results to standard output, and only from one of several processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from vocabula.cli.process import is_main_process
from vocabula.files import one_line, printable, stdout_is_taken

if TYPE_CHECKING:
    from rich.console import Console

    from vocabula.benchmark import Table


def stdout_console() -> Console:
    """A console for results: tables keep their width in pipes and files."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
    return Console(
        file=results(),
        quiet=not is_main_process(),
        soft_wrap=False,
        width=width,
        highlight=False,
    )


def results() -> TextIO:
    """The stream for results: standard error where an output goes to standard output."""
    return sys.stderr if stdout_is_taken() else sys.stdout


def table_of(table: Table) -> Any:
    """A table of results as rich prints it; met and missed targets in colour."""
    import rich.box
    from rich.table import Table as RichTable
    from rich.text import Text

    colours = {"met": "green", "not met": "red"}
    shown = RichTable(title=printable(table.title), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for place, name in enumerate(table.columns):
        shown.add_column(name, justify="right" if place else "left")
    for row in table.rows:
        shown.add_row(*(Text(printable(cell), style=colours.get(cell, "")) for cell in row))
    return shown


def say(text: str) -> None:
    """Print one plain line, from the main process only."""
    if is_main_process():
        print(printable(text), file=results())


def note(text: str) -> None:
    """Print one line about what is being done to standard error, from the main process."""
    if is_main_process():
        print(one_line(text), file=sys.stderr)


def warn(text: str) -> None:
    """Print one line that begins with ``warning:`` to standard error, from the main process."""
    if is_main_process():
        print(f"warning: {one_line(text)}", file=sys.stderr)
