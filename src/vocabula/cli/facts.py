"""Names with values, and tables, on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vocabula.files import printable

if TYPE_CHECKING:
    from vocabula.benchmark import Table

from vocabula.cli.console import stdout_console

INDENT = 2
"""Blanks between a name and its value, and before a value that begins below its name."""


PADDING = 3
"""Blanks beside a column of a table."""


def wrapped(text: str, indent: int) -> list[str]:
    """The lines of a text, indented and wrapped between words to the console's width.

    In a pipe or file it is one line. A word, such as a hash or a path, is never broken.

    Args:
        text: the text.
        indent: blanks before each line.
    """
    blanks = " " * indent
    return textwrap.wrap(
        text,
        max(stdout_console().width, indent + 1),
        initial_indent=blanks,
        subsequent_indent=blanks,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns, from the main process only.

    Values are wrapped between words to the terminal's width; in a pipe or file each has one line.
    A word, such as a hash or a path, is never broken: where it does not fit beside the names, the
    value begins below its name.
    """
    from rich.text import Text

    console = stdout_console()
    margin = max((len(name) for name, _ in rows), default=0) + INDENT
    for name, value in ((name, printable(value)) for name, value in rows):
        longest = max(map(len, value.split()), default=0)
        below = margin + longest > console.width
        lines = wrapped(value, INDENT if below else margin)
        text = Text(name, style="bold")
        if below:
            lines = ["", *lines]
        elif lines:
            lines[0] = lines[0][len(name) :]
        console.print(text.append("\n".join(lines), style="not bold"), soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table of results; met and missed targets in colour.

    Columns that do not fit are printed below, with the first column repeated.
    """
    console = stdout_console()
    for part in _parts(table, console.width):
        console.print(_table_of(part))


def _parts(table: Table, width: int) -> Iterator[Table]:
    """The table, or parts of it that fit the width, each with the first column."""
    columns = list(zip(table.columns, *table.rows, strict=True))
    needs = [max(map(len, column)) + PADDING for column in columns]
    needs[0] = min(needs[0], width // 2) + 1  # a longer first column is folded
    title, shown = table.title, [0]
    for place in range(1, len(columns)):
        if len(shown) > 1 and sum(needs[i] for i in [*shown, place]) > width:
            yield _of_columns(table, title, shown)
            title, shown = "", [0]
        shown.append(place)
    yield _of_columns(table, title, shown)


def _of_columns(table: Table, title: str, shown: Sequence[int]) -> Table:
    rows = [tuple(row[i] for i in shown) for row in table.rows]
    return replace(table, title=title, columns=tuple(table.columns[i] for i in shown), rows=rows)


def _table_of(table: Table) -> Any:
    import rich.box
    from rich.table import Table as RichTable
    from rich.text import Text

    colours = {"met": "green", "not met": "red"}
    title = printable(table.title) or None
    shown = RichTable(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for place, name in enumerate(table.columns):
        shown.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(printable(cell), style=colours.get(cell, "")) for cell in row))
    return shown
