"""The memory that this process may still take."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process may still take on a device; None where that is not known.

    On the CPU the least of what the system has, what is left of the memory of the process's
    control groups (as containers and batch systems set them), and of its own limit (``ulimit -v``).
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    if device.type != "cpu":
        return None
    system = int(psutil.virtual_memory().available)
    return max(0, min([system, *_group_memory(), *_process_limit()]))


def resident_memory() -> int:
    """Bytes of main memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def _group_memory() -> list[int]:
    """What remains of the limits of the process's control groups, including the outer ones.

    Pages of files that the system may drop at any time count as free.
    """
    found = []
    for folder in _group_folders():
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            found.append(limit - used + _dropped_first(folder / "memory.stat"))
    return found


def _group_folders() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUPS / "memory" if controllers else CGROUPS
        inner = root / path.lstrip("/")
        # within a container its own group is the root, regardless of the path
        folders += [inner, *(up for up in inner.parents if up.is_relative_to(root))]
    return folders


def _number(*files: Path) -> int | None:
    for file in files:
        try:
            return int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return None


def _dropped_first(statistics: Path) -> int:
    try:
        rows = dict(line.split() for line in statistics.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))


def _process_limit() -> list[int]:
    if sys.platform == "win32":
        return []
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = psutil.Process().memory_info().vms
    return [] if most == resource.RLIM_INFINITY else [most - used]
