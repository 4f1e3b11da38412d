"""Launches by ``torchrun``, which continue the runs that they have begun."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from vocabula.errors import VocabulaError
from vocabula.files.run_files import read_manifest
from vocabula.training.together import in_main_process

KEY = "launch"
"""Where ``run.json`` names the launch that has begun or continued the run."""


def launch() -> str | None:
    """A name of the launcher's process; None where nothing starts processes again.

    ``torchrun --max-restarts N`` does so when one of them ends. Its own process lives on, so that
    the number and the start of that process name the launch.
    """
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    if not restarts.isdigit() or int(restarts) == 0:
        return None
    parent, named = os.getppid(), os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{named} {socket.gethostname()} {parent} {_start(parent)}"


def said_of_launch() -> dict[str, Any]:
    """What the manifest of a run says of its launch; nothing without one."""
    named = launch()
    return {} if named is None else {KEY: named}


def how_to_start(
    folder: Path, accelerator: Accelerator, *, resume: bool, overwrite: bool
) -> tuple[bool, bool]:
    """Whether to resume and to overwrite the run in a folder, as asked by the first start.

    What the launch of this process has begun or continued itself is resumed. Every process calls
    it and gets the answer of the main process.
    """

    def same() -> bool:
        named = launch()
        if named is None:
            return False
        with contextlib.suppress(VocabulaError):
            return bool(read_manifest(folder).get(KEY) == named)
        return False

    return (True, False) if in_main_process(accelerator, same) else (resume, overwrite)


def _start(process: int) -> str:
    """When a process began, in ticks since the system's start; empty where that is not told."""
    with contextlib.suppress(OSError, IndexError):
        # after the program's name in brackets, which may hold anything
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


__all__ = ["how_to_start", "launch", "said_of_launch"]
