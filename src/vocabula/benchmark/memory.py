"""Peak memory of one call, excluding memory held before it and its results."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: With this in its environment a process of the GNU C library gives every larger block back to the
#: system when it is freed, so that memory kept from earlier calls does not hide a call's need.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def resident(field: str) -> int:
    """A field of this process's status in bytes: VmRSS is resident now, VmHWM is its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status: expected {field}, got none; use another kernel")


def peak_bytes(
    run: Callable[[], Any], output_bytes: Callable[[Any], int], device: str
) -> int | None:
    """Most bytes that one call of `run` holds at a time, excluding its inputs and outputs.

    Args:
        run: the call, already made once, so that code is loaded and threads exist.
        output_bytes: bytes of its result that do not count.
        device: "cuda" asks torch's allocator, "cpu" the kernel.

    Returns:
        Bytes, at least 0; None where the system does not report it (only Linux does).
    """
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = run()
        return max(0, torch.cuda.max_memory_allocated() - before - output_bytes(result))
    try:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        result = run()
        peak = resident("VmHWM")
    except OSError:
        return None
    return max(0, peak - before - output_bytes(result))
