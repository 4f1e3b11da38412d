"""How a command's process keeps memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from vocabula.cli.process import keep_freed_memory

{call}
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)  # 64 MiB, or 16384 pages: more than glibc keeps of its own accord
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str, **environment: str) -> int:
    """How many pages the system handed out for the fourth of four equal arrays."""
    program = [sys.executable, "-c", PROGRAM.format(call=call)]
    return int(subprocess.run(program, capture_output=True, check=True, env=environment).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another")
def test_freed_memory_is_used_again_unless_the_user_decides() -> None:
    assert page_faults("") > 100
    assert page_faults("keep_freed_memory()") < 20
    chosen = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
    assert page_faults("keep_freed_memory()", **chosen) > 100
