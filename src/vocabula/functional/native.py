"""The compiled kernels: their library, found and loaded once, and what it can be asked for.

`kernels/*.c` are built when the package is installed where a C compiler is found, and come ready
in a wheel; without them everything runs in torch operations. The library uses torch's own
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

__all__ = [
    "finite_scalar",
    "finite_scalar_backward",
    "floyd_steinberg",
    "instructions",
    "nearest",
    "ready",
    "record_usage",
    "rounds",
    "searches",
]

_LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "vocabula_nearest": [
        *(_POINTER, _SIZE, _POINTER, _SIZE, _SIZE),
        *(ctypes.c_int32, _POINTER, _POINTER),
    ],
    "vocabula_record_usage": [
        *(_POINTER, _SIZE, _SIZE, _POINTER, _SIZE, _POINTER),
        *(_POINTER, _SIZE, _POINTER, _SIZE, _SIZE, _SIZE, _SIZE),
        *(_POINTER, _POINTER, _POINTER),
    ],
    "vocabula_finite_scalar": [_POINTER, _SIZE, _SIZE, *[_POINTER] * 4],
    "vocabula_finite_scalar_backward": [_POINTER, _POINTER, _SIZE, _SIZE, *[_POINTER] * 2],
    "vocabula_floyd_steinberg": [
        *(_POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _SIZE),
        *(ctypes.c_int32, _POINTER),
    ],
}


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The library, the instruction set it must use, None for its choice, and torch's threads."""

    library: ctypes.CDLL
    instructions: str | None
    parallel: ctypes.c_void_p

    def fastest(self, dim: int) -> str:
        """Return the instruction set for vectors of `dim` coordinates."""
        return self.instructions or self.library.vocabula_instructions(dim).decode()

    def call(self, function: str, dim: int, *arguments: Any) -> None:
        """Call a function of the library for vectors of `dim`; tensors become their pointers."""
        plain = (x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)
        instructions = self.fastest(dim)
        status = getattr(self.library, function)(*plain, instructions.encode(), self.parallel)
        if status == 1:
            raise MemoryError(f"{function}: no memory for its workspace; use a smaller codebook")
        if status != 0:
            raise RuntimeError(f"{function}: this processor has no {instructions}")


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
    library.vocabula_instructions.argtypes = [_SIZE]
    library.vocabula_instructions.restype = ctypes.c_char_p
    best = library.vocabula_instructions(1)
    # ATEN_CPU_CAPABILITY restrains torch's kernels, and with them ours.
    allowed = torch.backends.cpu.get_cpu_capability()
    if best is None or (allowed == "DEFAULT" and best != b"neon"):
        return None
    for function, arguments in _ARGUMENTS.items():
        getattr(library, function).argtypes = [*arguments, ctypes.c_char_p, _POINTER]
    return _Kernel(library, "avx2" if allowed == "AVX2" else None, parallel)


def instructions(dim: int = 64) -> str | None:
    """Return what a search among vectors of `dim` runs on: "avx512", "avx2", "neon", or None."""
    kernel = _load()
    return None if kernel is None else kernel.fastest(dim)


def _kernel() -> _Kernel:
    kernel = _load()
    assert kernel is not None, "ask `searches` or `rounds` first"
    return kernel


def ready() -> bool:
    """Whether the kernels were built and can run here."""
    return _load() is not None


def searches(z: Tensor) -> bool:
    """Whether the kernels serve this tensor: float32 on the CPU, and they were built."""
    return z.device.type == "cpu" and z.dtype == torch.float32 and _load() is not None


def nearest(z: Tensor, codebook: Tensor, cosine: bool, distances: Tensor | None = None) -> Tensor:
    """Return the (N,) nearest codes of z (N, D) in codebook (K, D), both float32 on the CPU.

    Write to `distances` (N,), float64, the squared distance of each.
    """
    rows, book = z.contiguous(), codebook.contiguous()
    codes = torch.empty(rows.shape[0], dtype=torch.int64)
    if rows.shape[0] > 0:
        sizes = rows.shape[0], book, *book.shape
        _kernel().call("vocabula_nearest", rows.shape[1], rows, *sizes, cosine, codes, distances)
    return codes


def rounds(z: Tensor, levels: tuple[int, ...]) -> bool:
    """Whether the kernels serve finite scalar quantization of z (N, levels)."""
    return len(levels) <= 16 and max(levels) <= 2**20 and searches(z)


def finite_scalar(z: Tensor, constants: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return values (N, levels) and codes (N,) of z (N, levels); see `finite_scalar.py`."""
    z = z.contiguous()
    values, codes = torch.empty_like(z), torch.empty(z.shape[0], dtype=torch.int64)
    _kernel().call(
        "vocabula_finite_scalar", z.shape[1], z, *z.shape, constants, basis, values, codes
    )
    return values, codes


def finite_scalar_backward(grad: Tensor, z: Tensor, constants: Tensor) -> Tensor:
    """Return the gradient to z (N, levels) of that to the values (N, levels)."""
    grad, z = grad.contiguous(), z.contiguous()
    result = torch.empty_like(z)
    _kernel().call(
        "vocabula_finite_scalar_backward", z.shape[1], grad, z, *z.shape, constants, result
    )
    return result


def record_usage(
    codes: Tensor,
    mask: Tensor | None,
    vectors: tuple[Tensor, Tensor],
    *,
    starts: Tensor,
    clock: int,
    fresh: bool,
    step: int,
    bucket: Tensor,
    norms: Tensor,
    last_seen: Tensor,
) -> None:
    """Add one recording to a tracker's `bucket`, `norms` and `last_seen`; see `UsageTracker`."""
    codes = codes.contiguous()
    z, values = (x.detach().contiguous() for x in vectors)
    mask = None if mask is None else mask.contiguous()
    _kernel().call(
        "vocabula_record_usage",
        z.shape[1],
        *(codes, *codes.shape, starts, len(last_seen), mask),
        *(z, z.shape[1], values, values.shape[1], step, fresh, clock),
        *(bucket, norms, last_seen),
    )


def floyd_steinberg(image: Tensor, palette: Tensor, most: int) -> Tensor:
    """Return (H, W) codes of image (H, W, C) in palette (K, C), both int32; see `dithering.py`."""
    image, palette = image.contiguous(), palette.contiguous()
    codes = torch.empty(image.shape[:2], dtype=torch.int64)
    _kernel().call(
        "vocabula_floyd_steinberg",
        image.shape[2],
        *(image, *image.shape, palette, len(palette), most, codes),
    )
    return codes
