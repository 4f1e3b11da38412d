"""Where commands print: results go to standard output, from the main process only."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from vocabula.cli.process import is_main_process
from vocabula.files import one_line, printable, stdout_is_taken

if TYPE_CHECKING:
    from rich.console import Console


ENDLESS = 100_000
"""Columns of a line that has no end."""


def stdout_console() -> Console:
    """A console for results: lines are not wrapped in pipes and files."""
    from rich.console import Console

    return Console(
        file=results(),
        quiet=not is_main_process(),
        soft_wrap=False,
        width=None if _has_width() else ENDLESS,
        highlight=False,
    )


def results() -> TextIO:
    """The stream for results: standard error where an output goes to standard output."""
    return sys.stderr if stdout_is_taken() else sys.stdout


def _has_width() -> bool:
    """Whether lines have a limited width: in a terminal, or if the user sets one."""
    return results().isatty() or "COLUMNS" in os.environ


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
