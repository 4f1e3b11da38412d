"""Failed writes as one line with a remedy."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from vocabula.errors import OutputError
from vocabula.files.text import one_line

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that say that there is no room left."""


@contextlib.contextmanager
def output_errors(path: Path | str, *, then: str = "", kept: str = "") -> Iterator[None]:
    """Turn a failing write into an `OutputError` with a remedy.

    Args:
        path: the file or folder being written.
        then: what to do after fixing the cause, such as "and run again with --resume".
        kept: what is unharmed.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, error, then=then, kept=kept) from None


def output_error(
    path: Path | str, error: Exception, *, then: str = "", kept: str = ""
) -> OutputError:
    """The one-line error for a failed write of `path`; see `output_errors`."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else one_line(str(error))
    full = number in DISK_FULL or "No space left on device" in reason
    remedy = "free some space or choose another disk" if full else "check the path and its rights"
    words = " ".join(filter(None, [remedy, then, f"({kept})" if kept else ""]))
    return OutputError(f"{path}: expected to write, got '{reason}'; {words}")
