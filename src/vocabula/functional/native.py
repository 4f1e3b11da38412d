"""The compiled search: its library, found and loaded once, and what it can be asked for.

`kernels/nearest.c` is built when the package is installed where a C compiler is found, and comes
ready in a wheel; without it everything runs in torch operations. The library uses torch's own
threads, through `torch_parallel_for`, and so obeys `torch.set_num_threads` and shares its pool.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["instructions", "nearest", "searches"]

_LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The library's function, the instruction set it shall use and torch's thread pool."""

    nearest: Any
    instructions: str
    parallel: ctypes.c_void_p


@functools.cache
def _load() -> _Kernel | None:
    """Load the library; None where it was not built or cannot serve this processor or torch."""
    found = sorted(Path(__file__).parent.glob("_kernels*.so"))
    if not found or sys.platform not in _LIBRARIES:
        return None
    torch_library = Path(torch.__file__).parent / "lib" / _LIBRARIES[sys.platform]
    try:
        library = ctypes.CDLL(str(found[0]))
        # Part of torch's stable C interface since 2.10.
        parallel = ctypes.cast(ctypes.CDLL(str(torch_library)).torch_parallel_for, ctypes.c_void_p)
    except (OSError, AttributeError):
        return None
    library.vocabula_instructions.restype = ctypes.c_char_p
    best = library.vocabula_instructions()
    # ATEN_CPU_CAPABILITY restrains torch's kernels, and with them ours.
    allowed = torch.backends.cpu.get_cpu_capability()
    if best is None or (allowed == "DEFAULT" and best != b"neon"):
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    function = library.vocabula_nearest
    function.argtypes = [
        *(pointer, size, pointer, size, size),
        *(ctypes.c_int32, pointer, ctypes.c_char_p, pointer),
    ]
    return _Kernel(function, "avx2" if allowed == "AVX2" else best.decode(), parallel)


def instructions() -> str | None:
    """Return the instruction set of the compiled search, "avx512", "avx2" or "neon", or None."""
    kernel = _load()
    return None if kernel is None else kernel.instructions


def searches(z: Tensor) -> bool:
    """Whether the compiled search serves this tensor: float32 on the CPU, and the library is."""
    return z.device.type == "cpu" and z.dtype == torch.float32 and _load() is not None


def nearest(z: Tensor, codebook: Tensor, cosine: bool) -> Tensor:
    """Return the (N,) nearest codes of z (N, D) in codebook (K, D), both float32 on the CPU."""
    kernel = _load()
    assert kernel is not None, "ask `searches` first"
    rows, book = z.contiguous(), codebook.contiguous()
    codes = torch.empty(rows.shape[0], dtype=torch.int64)
    if rows.shape[0] == 0:
        return codes
    status = kernel.nearest(
        rows.data_ptr(), rows.shape[0], book.data_ptr(), *book.shape,
        cosine, codes.data_ptr(), kernel.instructions.encode(), kernel.parallel,
    )  # fmt: skip
    if status != 0:
        raise MemoryError(f"nearest: no memory to search {book.shape[0]} codewords; use fewer")
    return codes
