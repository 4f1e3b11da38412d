"""The process of a command: which of several it is under a launcher, and how it keeps memory."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of glibc's malloc.h


def process_index() -> int:
    """The rank that the launcher gave this process, 0 without a launcher."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdigit() else 0


def is_main_process() -> bool:
    """Whether this process is the one that prints."""
    return process_index() == 0


def alone(command: Callable[P, None]) -> Callable[P, None]:
    """The command, done by the main process; others, which a launcher may start, end at once."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_main_process():
            command(*args, **kwargs)

    return run


def keep_freed_memory() -> None:
    """Let glibc's allocator keep what is freed for the next batch, which needs the same again.

    By default it returns large blocks to the system, which clears every page before it hands it
    out anew: a tenth to a third of a step on the CPU. Does nothing where the allocator is another,
    or where the user has set it by a variable ``MALLOC_...``.
    """
    if not sys.platform.startswith("linux") or any(
        name.startswith("MALLOC_") for name in os.environ
    ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
