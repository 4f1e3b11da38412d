"""How a command ends: user errors in one line with exit code 2, defects with a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from typer import TyperException
from typer.core import TyperGroup

from vocabula.cli.process import abandon, is_main_process, process_index
from vocabula.errors import Interrupted, OptionError, OutputError, VocabulaError
from vocabula.files import DISK_FULL, one_line

_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ELOOP,
    errno.ENXIO,
    errno.ESTALE,
}


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
            _flush_or_abandon()
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


def interrupted() -> Interrupted:
    """The message for a command that was stopped and has nothing to keep."""
    return Interrupted("interrupted: nothing half-written was left behind; run the command again")


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


def as_user_error(error: BaseException) -> VocabulaError | None:
    """The one-line error for a failure, or None if it is a defect of the program."""
    if isinstance(error, VocabulaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return interrupted()
    if isinstance(error, TyperException):
        message = error.format_message().rstrip(".")
        advice = "" if "Did you mean" in message else "; add --help to see the usage"
        return OptionError(f"{message}{advice}")
    text = str(error)
    if getattr(error, "errno", None) in DISK_FULL or "No space left on device" in text:
        return OutputError(
            "output: expected free space on the disk, got none; free some and run the command "
            "again (train: with --resume)"
        )
    if isinstance(error, OSError) and error.errno in _REFUSED:
        where = f"{error.filename}: " if error.filename else ""
        return OutputError(f"{where}{error.strerror or text}; check the path and its permissions")
    if _out_of_memory(error, text):
        return OptionError(
            "memory: expected enough for the model and one batch, got too little; lower "
            "training.batch_size (--batch-size), quantizer.codebook_size or the networks' widths"
        )
    return None


def _out_of_memory(error: BaseException, text: str) -> bool:
    """Whether memory ran out; on the CPU, torch says so by a plain RuntimeError."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in text)


def print_failure(failure: VocabulaError) -> None:
    """Print the line; if all of several processes fail alike, only one prints it."""
    if is_main_process():
        prefix = "" if isinstance(failure, Interrupted) else "error: "
    elif isinstance(failure, (OptionError, OutputError, Interrupted)):
        return
    else:
        prefix = f"error (process {process_index()}): "
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(prefix + one_line(str(failure)), file=sys.stderr, flush=True)


def _flush_or_abandon() -> None:
    """Flush what was printed; a stream that fails is not tried again."""
    try:
        sys.stdout.flush()
    except OSError:
        abandon(sys.stdout)
