"""Where commands print: results to standard output, and only from one of several processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from vocabula.cli.process import is_main_process

if TYPE_CHECKING:
    from rich.console import Console


def stdout_console() -> Console:
    """A console for results: tables keep their width in pipes and files."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
    return Console(quiet=not is_main_process(), soft_wrap=False, width=width, highlight=False)


def say(text: str) -> None:
    """Print one plain line, from the main process only."""
    if is_main_process():
        print(text)


def note(text: str) -> None:
    """Print one line about what is being done to standard error, from the main process."""
    if is_main_process():
        print(one_line(text), file=sys.stderr)


def warn(text: str) -> None:
    """Print one line that begins with ``warning:`` to standard error, from the main process."""
    if is_main_process():
        print(f"warning: {one_line(text)}", file=sys.stderr)


def one_line(text: str) -> str:
    """The text with every run of blanks and line breaks as one space, safe to print."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
