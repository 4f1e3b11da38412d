"""The compiled coders: their part of the kernels' library, and calls of it.

Unlike the search kernels they need no instruction set, so they serve on every processor for which
the library was built. Every call releases the interpreter: segments are coded on several threads.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vocabula import functional
from vocabula.codec.tree import squash_table, stretch_table
from vocabula.errors import CodecError

if TYPE_CHECKING:
    from vocabula.codec.adaptive import Layer

__all__ = ["available", "decode_adaptive", "decode_static", "encode_adaptive", "encode_static"]

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "vocabula_encode_static": [
        *(_POINTER, _SIZE, _POINTER, _SIZE),
        *(_SIZE, _SIZE, _POINTER, _SIZE),
    ],
    "vocabula_decode_static": [
        *(_POINTER, _SIZE, _POINTER, _POINTER, _SIZE),
        *(_SIZE, _SIZE, _POINTER, _SIZE),
    ],
    "vocabula_adaptive": [_POINTER, _SIZE, _POINTER, _SIZE],
}
_BAD_CODE, _NO_ROOM, _BAD_WORDS, _NO_MEMORY = -1, -2, -3, -4

Words = NDArray[np.uint32]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The library; None where it was not built, or is of another version of the source."""
    found = sorted(Path(functional.__file__).parent.glob("_kernels*.so"))
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
    """Call a function; arrays become their pointers, failures exceptions."""
    library = _library()
    assert library is not None, "ask `available` first"
    plain = (a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments)
    status = int(getattr(library, name)(*plain))
    if status == _NO_MEMORY:
        raise MemoryError(f"{name}: no memory for its tables")
    if status == _BAD_WORDS:
        raise CodecError(
            "codes: expected the words of an encoder, got others; the file is damaged or its "
            "entropy model is another, compress the original again"
        )
    if status in (_BAD_CODE, _NO_ROOM):
        raise RuntimeError(f"{name}: refused its own caller, status {status}")
    return status


def encode_static(codes: Words, cumulative: Words, choice: int, choice_bits: int) -> Words:
    """The words of a choice and of codes (N,) by one table (K + 1,)."""
    codes = np.ascontiguousarray(codes, np.uint32)
    words = np.empty(len(codes) + 3, np.uint32)  # no code takes more than one word
    table = (cumulative, len(cumulative) - 1, choice, choice_bits)
    used = _call("vocabula_encode_static", codes, len(codes), *table, words, len(words))
    return words[:used]


def decode_static(
    words: Words, cumulative: Words, starts: Words, choice: int, choice_bits: int, count: int
) -> Words:
    """The codes (count,) of words; `starts` says where the search for a quantile begins."""
    codes = np.empty(count, np.uint32)
    bits = (len(starts) - 1).bit_length() - 1
    table = (cumulative, starts, bits, choice, choice_bits)
    _call("vocabula_decode_static", words, len(words), *table, codes, count)
    return codes


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


def _job(layer: Layer, ranks: Words, trace: Words | None) -> tuple[_Job, list[Any]]:
    """The struct for a layer, and the arrays that must live as long as it."""
    arrays = {
        "ranks": ranks,
        "before": layer.before,
        "earlier": layer.earlier,
        "grids": np.ascontiguousarray(layer.grids),
        "own": layer.own,
        "own_seen": layer.own_seen,
        "squash": squash_table(),
        "stretch": stretch_table(),
        "trace": trace,
    }
    pointers = {n: None if a is None else a.ctypes.data for n, a in arrays.items()}
    numbers = {"runs": len(layer.grids), "size": layer.symbols, "bits": layer.bits}
    return _Job(**pointers, **numbers, slots=layer.slots), list(arrays.values())


def encode_adaptive(layer: Layer, ranks: Words, *, traced: bool) -> tuple[Words, Words]:
    """The words of ranks (N,), and if `traced` the width of each decision's outcome in 2^24."""
    decisions = len(ranks) * layer.bits
    trace = np.zeros(decisions, np.uint32) if traced else None
    job, kept = _job(layer, np.ascontiguousarray(ranks, np.uint32), trace)
    words = np.empty(decisions + 2, np.uint32)  # no decision takes more than one word
    used = _call("vocabula_adaptive", ctypes.byref(job), 1, words, len(words))
    del kept
    widths = np.zeros(0, np.uint32) if trace is None else trace[trace > 0]
    return words[:used].copy(), widths


def decode_adaptive(layer: Layer, words: Words) -> Words:
    """The ranks (positions,) of words."""
    ranks = np.zeros(layer.positions, np.uint32)
    job, kept = _job(layer, ranks, None)
    _call("vocabula_adaptive", ctypes.byref(job), 0, words, len(words))
    del kept
    return ranks
