"""The build that a network runs on: other builds differ in last bits, and thus in probabilities."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vocabula.codec.header import LONGEST_BUILD

_ONE_AT_A_TIME = threading.Lock()


def build_of(device: torch.device) -> str:
    """The build that networks on a device run on, as files name it.

    It names Torch's version, the processor's instruction set or the GPU with its architecture
    number, and the precision of matrix products if it is not the highest. Threads are not in it:
    `reproducible` sets their number.

    Args:
        device: the network's device.

    Example:
        >>> build_of(torch.device("cpu")).startswith(torch.__version__)  # 2.13.0+cpu AVX512
        True
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        where = f"cuda {major}.{minor}"
    elif device.type == "cpu":
        where = torch.backends.cpu.get_cpu_capability()
    else:
        where = device.type
    precision = torch.get_float32_matmul_precision()
    words = [torch.__version__, where, *([precision] * (precision != "highest"))]
    return " ".join(words)[:LONGEST_BUILD]


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Make a network's arithmetic on a device give the same bits in every run on the same build.

    It runs on one thread, as torch's sums depend on the number of threads; without gradients and
    automatic precision, which callers may have switched on; with deterministic convolutions on a
    GPU; and one network at a time, as these settings are global to torch and restored afterwards.
    """
    same = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode(), torch.autocast(device.type, enabled=False), same:
                yield
        finally:
            torch.set_num_threads(threads)
