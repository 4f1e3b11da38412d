"""The group of commands, and the words that it refuses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from vocabula.cli.errors import as_user_error, flush_or_abandon, interrupted, print_failure
from vocabula.cli.process import abandon, let_stops_end
from vocabula.errors import OptionError


class Commands(TyperGroup):
    """The command group: runs a command and turns every expected failure into one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and end the process with its exit code."""
        try:
            check_dashes(sys.argv[1:] if args is None else args)
            code = super().main(
                args=args,
                prog_name=prog_name,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
        except BrokenPipeError:  # `vocabula config | head`: the reader has closed the pipe
            abandon(sys.stdout)
            sys.exit(1)
        except (Exception, KeyboardInterrupt) as error:
            failure = as_user_error(error)
            if failure is None:
                raise
            print_failure(failure)
            flush_or_abandon()
            let_stops_end()
            sys.exit(failure.exit_code)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; Ctrl-C and the like become a message, not a traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interrupted() from None


def check_dashes(words: Sequence[str]) -> None:
    """Refuse names of files that the command line would read as options.

    A shell pattern such as ``*.png`` yields them when a file's name begins with a dash.

    Raises:
        OptionError: a word before ``--`` begins with a dash and is the name of a file.
    """
    for word in words:
        if word == "--":
            return
        if not word.startswith("-") or re.fullmatch(r"-\w?|--[a-z-]+", word):
            continue
        if os.path.lexists(word):
            suffix = os.path.splitext(word)[1]
            raise OptionError(
                f"{word}: expected a file's name, got one that looks like an option; write "
                f"./{word}{f' (./*{suffix})' if suffix else ''}, or put -- before the names"
            )
