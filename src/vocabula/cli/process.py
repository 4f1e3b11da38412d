"""Which process this is under a launcher that starts several with the same command."""

from __future__ import annotations

import os


def process_index() -> int:
    """The rank that the launcher gave this process, 0 without a launcher."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdigit() else 0


def is_main_process() -> bool:
    """Whether this process is the one that prints."""
    return process_index() == 0
