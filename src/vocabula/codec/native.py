"""The compiled coders: their part of the kernel library, and calls to it.

Unlike the search kernels they need no instruction set, so they serve on every processor for which
the library was built. Every call releases the interpreter: segments are coded on several threads.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.pixel_steps import start_filters, start_table
from vocabula.codec.tree import squash_table, stretch_table
from vocabula.codec.words import bad_words, bytes_of
from vocabula.errors import ShapeError

if TYPE_CHECKING:
    from vocabula.codec.adaptive_stream import AdaptiveStream
    from vocabula.codec.pixel_steps import Scene
    from vocabula.codec.table import Table

__all__ = ["Decoder", "Encoder", "available"]

_KERNELS = Path(__file__).parents[1] / "functional"

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "vocabula_encode_static": [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE],
    "vocabula_encode_shares": [_POINTER, _POINTER, _POINTER, _SIZE],
    "vocabula_decode_rows": [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE],
    "vocabula_finish": [_POINTER],
    "vocabula_open": [_POINTER, _POINTER, _SIZE],
    "vocabula_read_static": [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER, _SIZE],
    "vocabula_whole": [_POINTER],
    "vocabula_adaptive": [_POINTER, _POINTER, _POINTER],
    "vocabula_pixels": [_POINTER, _POINTER, _POINTER],
}
_BAD_CODE, _NO_ROOM, _BAD_WORDS, _NO_MEMORY = -1, -2, -3, -4

_DECISIONS_PER_VALUE, _WORDS_PER_VALUE = 16, 9
"""Most decisions to a value of a pixel, of 18 bits at most: 64 of 2^24 is the least probability."""

Words = NDArray[np.uint32]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The library; None if it was not built or comes from another version of the source."""
    found = sorted(_KERNELS.glob("_kernels*.so"))
    if not found:
        return None
    try:
        library = ctypes.CDLL(str(found[0]))
        for name, arguments in _ARGUMENTS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, _SIZE
    except (OSError, AttributeError):
        return None
    return library


def available() -> bool:
    """Whether the compiled coders can be called."""
    return _library() is not None


def _call(name: str, *arguments: Any) -> int:
    """Call a function: arrays are passed as pointers, and failures become exceptions."""
    library = _library()
    assert library is not None, "ask `available` first"
    plain = (a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments)
    status = int(getattr(library, name)(*plain))
    if status == _NO_MEMORY:
        raise MemoryError(f"{name}: no memory for its tables")
    if status == _BAD_WORDS:
        raise bad_words()
    if status in (_BAD_CODE, _NO_ROOM):
        raise RuntimeError(f"{name}: refused its own caller, status {status}")
    return status


Array = TypeVar("Array", bound="NDArray[Any] | None")


def _checked(name: str, x: Array, dtype: Any, *shape: int | None, contiguous: bool = True) -> Array:
    """An array, or None, that C may read with this type and shape; None in it is any length.

    Raises:
        ShapeError: type or shape differ.
    """
    if x is None:
        return x
    lengths = zip(x.shape, shape, strict=False)
    fits = x.ndim == len(shape) and all(want is None or want == have for have, want in lengths)
    if fits and x.dtype == dtype and (x.flags.c_contiguous or not contiguous):
        return x
    raise ShapeError(
        f"{name}: expected {np.dtype(dtype)} of shape {shape} in one piece, got {x.dtype} of shape "
        f"{x.shape}; give one for each code"
    )


def _grids(grids: NDArray[np.int64], positions: int) -> NDArray[np.int64]:
    """Grids (runs, 3) of count, height and width, with this total number of positions."""
    grids = _checked("grids", np.ascontiguousarray(grids), np.int64, None, 3)
    # In float64, where a product that is too large does not wrap around.
    if (grids < 0).any() or grids.astype(np.float64).prod(1).sum() != positions:
        raise ShapeError(f"grids: expected {positions} positions in all, got others; count again")
    return grids


class _Writing(ctypes.Structure):
    """The C struct ``encoder`` of range_coder.h."""

    _fields_ = (
        *(("lower", ctypes.c_uint64), ("range", ctypes.c_uint64), ("words", _POINTER)),
        *(("count", _SIZE), ("capacity", _SIZE)),
    )


class _Reading(ctypes.Structure):
    """The C struct ``decoder`` of range_coder.h."""

    _fields_ = (
        *(("lower", ctypes.c_uint64), ("above", ctypes.c_uint64), ("range", ctypes.c_uint64)),
        *(("words", _POINTER), ("at", _SIZE), ("count", _SIZE)),
    )


class Encoder:
    """See `coder.Encoder`."""

    def __init__(self) -> None:
        self._words = np.empty(0, np.uint32)
        self._state = _Writing(range=2**64 - 1)

    def table(self, codes: Words, table: Table) -> None:
        """See `coder.Encoder.table`."""
        self._make_room(len(codes))  # no code takes more than one word
        codes = np.ascontiguousarray(codes, np.uint32).reshape(-1)
        steps = (_checked("table", table.cumulative, np.uint32, None), len(table.cumulative) - 1)
        _call("vocabula_encode_static", ctypes.byref(self._state), codes, len(codes), *steps)

    def shares(self, starts: Words, widths: Words) -> None:
        """See `coder.Encoder.shares`."""
        self._make_room(len(starts))  # no code takes more than one word
        starts, widths = (np.ascontiguousarray(x, np.uint32) for x in (starts, widths))
        _checked("widths", widths, np.uint32, len(starts))
        _call("vocabula_encode_shares", ctypes.byref(self._state), starts, widths, len(starts))

    def adaptive(self, ranks: Words, stream: AdaptiveStream, *, traced: bool = False) -> Words:
        """See `coder.Encoder.adaptive`."""
        decisions = len(ranks) * stream.bits
        self._make_room(decisions)  # no decision takes more than one word
        trace = np.zeros(decisions if traced else 0, np.uint32)
        job, kept = _job(stream, np.ascontiguousarray(ranks, np.uint32), trace if traced else None)
        _call("vocabula_adaptive", ctypes.byref(job), ctypes.byref(self._state), None)
        del kept
        return trace[trace > 0]

    def pixels(self, values: Words, scene: Scene, *, traced: bool = False) -> Words:
        """See `coder.Encoder.pixels`."""
        _checked("values", values, values.dtype, *scene.reconstructed.shape, contiguous=False)
        self._make_room(_WORDS_PER_VALUE * values.size)
        trace = np.zeros(_DECISIONS_PER_VALUE * values.size if traced else 0, np.uint32)
        values = np.ascontiguousarray(values, np.uint32)
        job, kept = _pixel_job(scene, values, trace if traced else None)
        _call("vocabula_pixels", ctypes.byref(job), ctypes.byref(self._state), None)
        del kept
        return trace[trace > 0]

    def content(self) -> bytes:
        """See `coder.Encoder.content`."""
        self._make_room(2)
        count = _call("vocabula_finish", ctypes.byref(self._state))
        return bytes_of(self._words[:count])

    def _make_room(self, more: int) -> None:
        used = int(self._state.count)
        words = np.empty(used + more, np.uint32)
        words[:used] = self._words[:used]
        self._words = words
        self._state.words, self._state.capacity = words.ctypes.data, len(words)


class Decoder:
    """See `coder.Decoder`.

    Args:
        words: of one message.
    """

    def __init__(self, words: Words) -> None:
        self._words, self._state = _checked("words", words, np.uint32, None), _Reading()
        _call("vocabula_open", ctypes.byref(self._state), words, len(words))

    def table(self, count: int, table: Table) -> Words:
        """See `coder.Decoder.table`."""
        codes = np.empty(count, np.uint32)
        bits = (len(table.starts) - 1).bit_length() - 1
        cumulative = _checked("table", table.cumulative, np.uint32, None)
        starts = _checked("starts", table.starts, np.uint32, (1 << bits) + 1)
        steps = (cumulative, len(cumulative) - 1, starts, bits)
        _call("vocabula_read_static", ctypes.byref(self._state), *steps, codes, count)
        return codes

    def rows(self, cumulative: Words) -> Words:
        """See `coder.Decoder.rows`."""
        rows = _checked("rows", np.ascontiguousarray(cumulative, np.uint32), np.uint32, None, None)
        count, steps = rows.shape
        codes = np.empty(count, np.uint32)
        _call("vocabula_decode_rows", ctypes.byref(self._state), rows, steps - 1, codes, count)
        return codes

    def adaptive(self, stream: AdaptiveStream) -> Words:
        """See `coder.Decoder.adaptive`."""
        ranks = np.zeros(stream.positions, np.uint32)
        job, kept = _job(stream, ranks, None)
        _call("vocabula_adaptive", ctypes.byref(job), None, ctypes.byref(self._state))
        del kept
        return ranks

    def pixels(self, scene: Scene) -> Words:
        """See `coder.Decoder.pixels`."""
        values = np.zeros(scene.reconstructed.shape, np.uint32)
        job, kept = _pixel_job(scene, values, None)
        _call("vocabula_pixels", ctypes.byref(job), None, ctypes.byref(self._state))
        del kept
        return values

    def end(self) -> None:
        """See `coder.Decoder.end`."""
        _call("vocabula_whole", ctypes.byref(self._state))


class _Job(ctypes.Structure):
    """The C struct ``job`` of adaptive_codes.c."""

    _fields_ = (
        ("ranks", _POINTER),
        ("before", _POINTER),
        ("earlier", _POINTER),
        ("grids", _POINTER),
        ("runs", _SIZE),
        ("size", _SIZE),
        ("bits", _SIZE),
        ("own", _POINTER),
        ("own_seen", _POINTER),
        ("squash", _POINTER),
        ("stretch", _POINTER),
        ("slots", _SIZE),
        ("trace", _POINTER),
    )


def _job(stream: AdaptiveStream, ranks: Words, trace: Words | None) -> tuple[_Job, list[Any]]:
    """The struct for a stream, and the arrays that must live as long as the struct."""
    positions, nodes = len(ranks), 1 << stream.bits
    arrays = {
        "ranks": _checked("ranks", ranks, np.uint32, positions),
        "before": _checked("before", stream.before, np.uint32, positions),
        "earlier": _checked("earlier", stream.earlier, np.uint32, positions),
        "grids": _grids(stream.grids, positions),
        "own": _checked("own", stream.own, np.uint32, nodes),
        "own_seen": _checked("own_seen", stream.own_seen, np.uint16, nodes),
        "squash": squash_table(),
        "stretch": stretch_table(),
        "trace": trace,
    }
    pointers = {n: None if a is None else a.ctypes.data for n, a in arrays.items()}
    numbers = {"runs": len(stream.grids), "size": stream.symbols, "bits": stream.bits}
    return _Job(**pointers, **numbers, slots=stream.slots), list(arrays.values())


class _PixelJob(ctypes.Structure):
    """The C struct ``job`` of pixel_codes.c."""

    _fields_ = (
        ("values", _POINTER),
        ("reconstructed", _POINTER),
        ("grids", _POINTER),
        ("runs", _SIZE),
        ("channels", _SIZE),
        ("positions", _SIZE),
        ("start", _POINTER),
        ("filters", _POINTER),
        ("squash", _POINTER),
        ("stretch", _POINTER),
        ("trace", _POINTER),
    )


def _pixel_job(scene: Scene, values: Words, trace: Words | None) -> tuple[_PixelJob, list[Any]]:
    """The struct for images, and the arrays that must live as long as the struct."""
    arrays: dict[str, NDArray[Any] | None] = {
        "values": _checked("values", values, np.uint32, *values.shape),
        "reconstructed": _checked(
            "reconstructed", np.ascontiguousarray(scene.reconstructed), np.uint8, *values.shape
        ),
        "grids": _grids(scene.grids, values.shape[1]),
        "start": start_table(),
        "filters": start_filters(),
        "squash": squash_table(),
        "stretch": stretch_table(),
        "trace": trace,
    }
    pointers = {n: None if a is None else a.ctypes.data for n, a in arrays.items()}
    channels, positions = values.shape
    numbers = {"runs": len(scene.grids), "channels": channels, "positions": positions}
    return _PixelJob(**pointers, **numbers), list(arrays.values())
