"""The compiled kernels: their library, found and loaded once, and its functions.

`kernels/*.c` are built at installation if a C compiler is found, and come prebuilt in a wheel;
without them everything runs in torch operations. The library uses torch's own threads, through
`torch_parallel_for`, and so obeys `torch.set_num_threads` and shares its pool.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from vocabula.errors import ShapeError
from vocabula.functional.modes import transforming

__all__ = [
    "Lattice",
    "call",
    "finite_scalar",
    "finite_scalar_backward",
    "floyd_steinberg",
    "instructions",
    "nearest",
    "ready",
    "record_usage",
    "residual_codes",
    "residual_sum",
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
    "vocabula_nearest_several": [_POINTER, _SIZE, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER],
    "vocabula_residual": [
        *(_POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _SIZE, _POINTER),
    ],
    "vocabula_residual_sum": [
        *(_POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _SIZE, _POINTER),
    ],
    "vocabula_record_usage": [
        *(_POINTER, _SIZE, _SIZE, _POINTER, _SIZE, _POINTER),
        *(_POINTER, _SIZE, _POINTER, _SIZE, _SIZE, _SIZE, _SIZE),
        *(_POINTER, _POINTER, _POINTER),
    ],
    "vocabula_finite_scalar": [
        *(_POINTER, _SIZE, _SIZE, _POINTER, _POINTER),
        *(ctypes.c_int32, _POINTER, _POINTER),
    ],
    "vocabula_finite_scalar_backward": [
        *(_POINTER, _POINTER, _SIZE, _SIZE, _POINTER),
        *(ctypes.c_int32, _POINTER),
    ],
    "vocabula_floyd_steinberg": [
        *(_POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _SIZE),
        *(ctypes.c_int32, _POINTER),
    ],
    "vocabula_symbol_rows": [_POINTER, _POINTER, _SIZE, _POINTER, _POINTER],
}


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The library, its instruction set (None for its own choice), and torch's threads."""

    library: ctypes.CDLL
    instructions: str | None
    parallel: ctypes.c_void_p

    def fastest(self, dim: int) -> str:
        """Return the instruction set for vectors of `dim` coordinates."""
        return self.instructions or self.library.vocabula_instructions(dim).decode()

    def call(self, function: str, dim: int, *arguments: Any) -> None:
        """Call a function of the library for vectors of `dim`, with numbers and addresses."""
        instructions = self.fastest(dim)
        status = getattr(self.library, function)(*arguments, instructions.encode(), self.parallel)
        if status == 1:
            raise MemoryError(f"{function}: no memory for its workspace; use a smaller codebook")
        if status == 3:
            raise IndexError(f"{function}: expected codes in their books; check them first")
        if status != 0:
            raise RuntimeError(f"{function}: this processor has no {instructions}")


@functools.cache
def _load() -> _Kernel | None:
    """Load the library; None if it was not built or does not support this processor or torch."""
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
    if not all(hasattr(library, function) for function in _ARGUMENTS):
        text = "expected the kernels of this version, got older ones, which are not used"
        warnings.warn(f"{found[0].name}: {text}; install vocabula again", stacklevel=2)
        return None
    for function, arguments in _ARGUMENTS.items():
        getattr(library, function).argtypes = [*arguments, ctypes.c_char_p, _POINTER]
    return _Kernel(library, "avx2" if allowed == "AVX2" else None, parallel)


def instructions(dim: int = 64) -> str | None:
    """Return the instruction set for vectors of `dim`: "avx512", "avx2", "neon", or None."""
    kernel = _load()
    return None if kernel is None else kernel.fastest(dim)


def _kernel() -> _Kernel:
    kernel = _load()
    assert kernel is not None, "ask `searches` or `rounds` first"
    return kernel


def ready() -> bool:
    """Whether the kernels were built and can run here."""
    return _load() is not None


def call(function: str, dim: int, *arguments: Any) -> None:
    """Call a function for vectors of `dim`, with numbers and addresses that were checked before."""
    _kernel().call(function, dim, *arguments)


def searches(z: Tensor) -> bool:
    """Whether the kernels serve this tensor: plain float32 on the CPU, and they were built."""
    plain = type(z) is Tensor or type(z) is Parameter
    return plain and z.is_cpu and z.dtype == torch.float32 and ready() and not transforming()


def plain(x: Tensor) -> Tensor:
    """A tensor with contiguous values, as a kernel reads them."""
    x = x.contiguous()
    return x.resolve_neg() if x.is_neg() else x


def _address(name: str, x: Tensor, dtype: torch.dtype, *shape: int) -> int:
    """The address of a tensor's values, after the check that all kernel calls share.

    Raises:
        ShapeError: the values are not what a kernel expects, or there are none.
    """
    if x.dtype == dtype and x.shape == shape and x.is_cpu and x.is_contiguous():
        address = x.data_ptr()
        if address or not x.numel():
            return address
    raise ShapeError(
        f"{name}: expected {dtype} of shape {shape} in one piece on the CPU, got {x.dtype} of "
        f"shape {tuple(x.shape)} on {x.device}; convert it"
    )


@functools.cache
def _starts(sizes: tuple[int, ...]) -> ctypes.Array[ctypes.c_int64]:
    """Where the counts of each book begin, as C numbers that no mode of torch touches."""
    return (_SIZE * len(sizes))(*accumulate(sizes[:-1], initial=0))


def nearest(z: Tensor, codebook: Tensor, cosine: bool, distances: Tensor | None = None) -> Tensor:
    """Return the (N,) nearest codes of z (N, D) in codebook (K, D), both float32 on the CPU.

    Write to `distances` (N,), float64, the squared distance of each.

    Raises:
        ShapeError: a dtype, shape or device is another.
    """
    rows, book = plain(z), plain(codebook)
    (count, dim), size = rows.shape, book.shape[0]
    codes = rows.new_empty(count, dtype=torch.int64)
    arguments = (
        *(_address("z", rows, torch.float32, count, dim), count),
        *(_address("codebook", book, torch.float32, size, dim), size, dim, cosine),
        _address("codes", codes, torch.int64, count),
        None if distances is None else _address("distances", distances, torch.float64, count),
    )
    if dim == 0 or size == 0:
        raise ShapeError(
            f"codebook: expected (K, D) with K, D >= 1, got {tuple(book.shape)}; fill it"
        )
    if count > 0:
        _kernel().call("vocabula_nearest", dim, *arguments)
    return codes


def residual_codes(z: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Return the (N, stages) codes of z (N, D), each of what the stages before leave.

    Args:
        z: float32 on the CPU.
        codebooks: (K, D) of each stage, likewise; the sizes may differ.

    Raises:
        ShapeError: a dtype, shape or device is another.
    """
    rows, books = plain(z), [plain(book) for book in codebooks]
    count, dim = rows.shape
    codes = rows.new_empty((count, len(books)), dtype=torch.int64)
    arguments = (
        *(_address("z", rows, torch.float32, count, dim), count, dim, *_tables(books, dim)),
        _address("codes", codes, torch.int64, count, len(books)),
    )
    if count > 0:
        _kernel().call("vocabula_residual", dim, *arguments)
    return codes


def residual_sum(codes: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Return the (N, D) sums of the codewords of codes (N, stages); -1 adds none.

    Args:
        codes: int64 on the CPU.
        codebooks: (K, D) of each stage, float32 on the CPU; the sizes may differ.

    Raises:
        IndexError: a code is too large for its book.
        ShapeError: a dtype, shape or device is another.
    """
    codes, books = codes.contiguous(), [plain(book) for book in codebooks]
    count, dim = codes.shape[0], books[0].shape[1]
    values = books[0].new_empty((count, dim))
    arguments = (
        *(_address("codes", codes, torch.int64, count, len(books)), count, dim),
        *(*_tables(books, dim), _address("values", values, torch.float32, count, dim)),
    )
    if count > 0:
        _kernel().call("vocabula_residual_sum", dim, *arguments)
    return values


def _tables(books: Sequence[Tensor], dim: int) -> tuple[Any, Any, int]:
    """The addresses and sizes of codebooks (K, dim), K and dim at least 1, and their number."""
    sizes = [len(book) for book in books]
    if not books or dim == 0 or 0 in sizes:
        raise ShapeError(
            f"codebooks: expected (K, D) with K, D >= 1, got {[tuple(b.shape) for b in books]}; "
            "fill them"
        )
    pairs = zip(books, sizes, strict=True)
    places = [_address("codebook", book, torch.float32, size, dim) for book, size in pairs]
    return (_POINTER * len(books))(*places), (_SIZE * len(books))(*sizes), len(books)


def rounds(z: Tensor, levels: tuple[int, ...]) -> bool:
    """Whether the kernels serve finite scalar quantization of z (N, levels)."""
    return len(levels) <= 16 and max(levels) <= 2**20 and searches(z)


class Lattice:
    """The constants of finite scalar quantization, as numbers of C.

    Unlike tensors they are the same under any mode, default dtype and default device of torch, so
    that they may be kept.

    Args:
        constants: (6, levels) shift, half, offset, middle, top and slope.
        basis: (levels,) what a step of each digit adds to the code.
        symmetric: whether digits are those of the symmetric form.
        hard_clamp: whether coordinates are bounded by clamping.
    """

    def __init__(
        self,
        constants: Sequence[Sequence[float]],
        basis: Sequence[int],
        *,
        symmetric: bool = False,
        hard_clamp: bool = False,
    ) -> None:
        self.levels, self.form = len(basis), symmetric + 2 * hard_clamp
        flat = [number for row in constants for number in row]
        if len(flat) != 6 * self.levels:
            raise ShapeError(f"constants: expected 6 for each level, got {len(flat)}; count again")
        self.constants = (ctypes.c_float * len(flat))(*flat)
        self.basis = (_SIZE * self.levels)(*basis)


def finite_scalar(z: Tensor, lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Return values (N, levels) and codes (N,) of z (N, levels); see `finite_scalar.py`.

    Raises:
        ShapeError: a dtype, shape or device is another.
    """
    z, levels = plain(z), lattice.levels
    rows = z.shape[0]
    values, codes = torch.empty_like(z), z.new_empty(rows, dtype=torch.int64)
    _kernel().call(
        "vocabula_finite_scalar",
        levels,
        *(_address("z", z, torch.float32, rows, levels), rows, levels),
        *(lattice.constants, lattice.basis, lattice.form, values.data_ptr(), codes.data_ptr()),
    )
    return values, codes


def finite_scalar_backward(grad: Tensor, z: Tensor, lattice: Lattice) -> Tensor:
    """Return the gradient of z (N, levels), given the gradient of the values (N, levels).

    Raises:
        ShapeError: a dtype, shape or device is another.
    """
    grad, z, levels = plain(grad), plain(z), lattice.levels
    rows = z.shape[0]
    result = torch.empty_like(z)
    _kernel().call(
        "vocabula_finite_scalar_backward",
        levels,
        _address("gradient", grad, torch.float32, rows, levels),
        *(_address("z", z, torch.float32, rows, levels), rows, levels),
        *(lattice.constants, lattice.form, result.data_ptr()),
    )
    return result


def record_usage(
    codes: Tensor,
    mask: Tensor | None,
    vectors: tuple[Tensor, Tensor],
    *,
    sizes: tuple[int, ...],
    clock: int,
    fresh: bool,
    step: int,
    bucket: Tensor,
    norms: Tensor,
    last_seen: Tensor,
) -> None:
    """Add one recording to a tracker's `bucket`, `norms` and `last_seen`; see `UsageTracker`.

    Raises:
        ShapeError: a dtype, shape or device is not that of codes (N, books), mask (N,), vectors
            (N, D) and of buffers for books of these `sizes`.
    """
    codes = codes.contiguous()
    z, values = (plain(x.detach()) for x in vectors)
    mask = None if mask is None else mask.contiguous()
    rows, books, total = codes.shape[0], len(sizes), sum(sizes)
    dim, width = z.shape[-1], values.shape[-1]
    _kernel().call(
        "vocabula_record_usage",
        dim,
        *(_address("codes", codes, torch.int64, rows, books), rows, books, _starts(sizes), total),
        None if mask is None else _address("mask", mask, torch.bool, rows),
        *(_address("z", z, torch.float32, rows, dim), dim),
        *(_address("values", values, torch.float32, rows, width), width, step, fresh, clock),
        _address("counts", bucket, torch.int32, total),
        _address("norms", norms, torch.float32, 2),
        _address("last_seen", last_seen, torch.int64, total),
    )


def floyd_steinberg(image: Tensor, palette: Tensor, most: int) -> Tensor:
    """Return (H, W) codes of image (H, W, C) in palette (K, C), both int32; see `dithering.py`.

    Raises:
        ShapeError: a dtype, shape or device is another.
    """
    image, palette = image.contiguous(), palette.contiguous()
    (height, width, dim), size = image.shape, palette.shape[0]
    codes = image.new_empty((height, width), dtype=torch.int64)
    arguments = (
        *(_address("image", image, torch.int32, height, width, dim), height, width, dim),
        *(_address("palette", palette, torch.int32, size, dim), size, most),
        _address("codes", codes, torch.int64, height, width),
    )
    if not (1 <= dim <= 4 and codes.numel() and size):
        raise ShapeError(
            f"image and palette: expected 1 to 4 channels and none empty, got {tuple(image.shape)} "
            f"and {tuple(palette.shape)}; give both the same channels"
        )
    _kernel().call("vocabula_floyd_steinberg", dim, *arguments)
    return codes
