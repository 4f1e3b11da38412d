"""How a command ends: user errors in one line with exit code 2, defects with a traceback."""

from __future__ import annotations

import contextlib
import errno
import sys

from typer import TyperException

from vocabula.cli.process import abandon, is_main_process, process_index
from vocabula.errors import EngineError, Interrupted, OptionError, OutputError, VocabulaError
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


def interrupted() -> Interrupted:
    """The message for a command that was stopped and has nothing to keep."""
    return Interrupted("interrupted: nothing half-written was left behind; run the command again")


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
    if _lost_process(error, text):
        return EngineError(
            "processes: expected all processes of the run, lost the connection to one, which has "
            "ended; see its last words, and run the command again with --resume"
        )
    if _out_of_memory(error, text):
        return OptionError(
            "memory: expected enough for the model and one batch, got too little; lower "
            "training.batch_size (--batch-size), quantizer.codebook_size or the networks' widths"
        )
    return None


def _lost_process(error: BaseException, text: str) -> bool:
    """Whether another process of the group has ended; of gloo, a plain RuntimeError says so."""
    known = type(error).__name__ in ("DistBackendError", "DistNetworkError")
    words = (
        *("closed by peer", "reset by peer", "Broken pipe", "connectFullMesh"),
        *("remote process exited", "recvValue failed", "Connection was likely closed"),
    )
    of_group = known or (isinstance(error, RuntimeError) and "gloo" in text)
    return of_group and any(word in text for word in words)


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


def flush_or_abandon() -> None:
    """Flush what was printed; a stream that fails is not tried again."""
    try:
        sys.stdout.flush()
    except OSError:
        abandon(sys.stdout)
