"""Which process this is under a launcher that starts several with the same command."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


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
