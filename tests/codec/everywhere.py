"""The entropy models whose files decode everywhere, and what a machine unlike this one does."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula import codec
from vocabula.codec import native, portable, writer
from vocabula.priors import CodeGrid

from .golden.make import golden_prior

BOOKS = (64, 20)
SIGNALS = ((6, 5), (6, 5), (1, 1), (6, 5), (9, 4), (6, 5), (6, 5), (2, 7))
COUNTS = tuple(np.arange(k) ** 2 % 31 for k in BOOKS)
STATISTICS = codec.CodeStatistics(
    "everywhere", COUNTS, tuple(np.arange(k, dtype=np.uint32)[::-1] for k in BOOKS)
)

Make = Callable[[int], codec.EntropyModel]


def portable_model(batch: int) -> codec.EntropyModel:
    """The integer network, which computes a few positions at a time."""
    portable.CHUNK_BYTES = batch * 2**14
    return codec.PortableModel([golden_prior(CodeGrid(BOOKS, (6, 5)))])


MODELS: dict[str, Make] = {
    "static": lambda batch: codec.StaticModel(STATISTICS),
    "adaptive": lambda batch: codec.AdaptiveModel(),
    "adaptive with counts": lambda batch: codec.AdaptiveModel(STATISTICS),
    "portable": portable_model,
}
"""A model from the number of signals that it may take at a time."""


def codes() -> list[NDArray[np.int64]]:
    """Eight grids of two books, by a formula."""
    grids = []
    for number, (height, width) in enumerate(SIGNALS):
        y, x = np.mgrid[:height, :width]
        books = [(x * x + 3 * y * (book + 1) + 7 * number) % k for book, k in enumerate(BOOKS)]
        grids.append(np.stack(books, -1))
    return grids


def digest(grids: list[NDArray[np.int64]]) -> str:
    """SHA-256 of codes."""
    plain = b"".join(np.ascontiguousarray(grid, "<u4").tobytes() for grid in grids)
    return hashlib.sha256(plain).hexdigest()


def write(name: str, *, batch: int, jobs: int) -> bytes:
    """The file of a model, of several segments."""
    file = io.BytesIO()
    before, writer.SEGMENT_BITS = writer.SEGMENT_BITS, 800
    try:
        codec.write_codes(file, codes(), BOOKS, entropy=MODELS[name](batch), jobs=jobs)
    finally:
        writer.SEGMENT_BITS = before
    return file.getvalue()


def read(name: str, content: bytes, *, batch: int, jobs: int) -> str:
    """The `digest` of what a file holds."""
    return digest(codec.read_codes(content, models=[MODELS[name](batch)], jobs=jobs).codes)


def main(folder: Path) -> None:
    """Read and write every model's file, with the compiled coders and without; print it as JSON.

    Args:
        folder: holds NAME.vcb for every model. It is read with two threads, and written in batches
            of eight signals.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for coder in ("compiled", "fallback"):
        if coder == "fallback":
            native.available = lambda: False
        elif not native.available():
            continue
        found[coder] = {}
        for name in MODELS:
            back = read(name, (folder / f"{name}.vcb").read_bytes(), batch=8, jobs=2)
            again = hashlib.sha256(write(name, batch=8, jobs=2)).hexdigest()
            found[coder][name] = [back, again]
    print(json.dumps(found))
