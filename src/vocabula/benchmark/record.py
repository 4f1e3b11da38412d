"""What every record of a measurement states besides its figures: machine, versions, command."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import vocabula
from vocabula.benchmark.rivals import PACKAGES

PACKAGE = Path(vocabula.__file__).parent


def record(name: str, command: str, threads: int, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures with name, command, commit, machine and versions.

    Args:
        name: name of the measurement.
        command: the command line that repeats it.
        threads: how many threads it took.
        figures: plain data.
    """
    return {
        "name": name,
        "command": command,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", ".")),
        "machine": machine(threads),
        **figures,
    }


def machine(threads: int) -> dict[str, Any]:
    """Processor, threads, the compiled search's instruction set, and versions."""
    import torch

    from vocabula.functional import native

    found = {
        "processor": f"{processor()}, {threads} threads",
        "threads": threads,
        "instructions": native.instructions(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vocabula": vocabula.__version__,
        **{package: version(package) for _, package in PACKAGES.values()},
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return {key: value for key, value in found.items() if value is not None}


def version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def usable_threads() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()


def _git(*words: str) -> str:
    """The output of a git command in the package's folder; empty if the folder is not tracked."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(PACKAGE), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        tracked = run("ls-files", "--error-unmatch", "__init__.py").returncode == 0
        return run(*words).stdout.strip() if tracked else ""
    except OSError:  # no git
        return ""
