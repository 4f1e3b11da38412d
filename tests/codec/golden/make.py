"""Writes the golden files anew: only for a new version of the format, for they never change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.codec import CodeStatistics, write_codes

FOLDER = Path(__file__).parent
CASES = {
    "uniform-k7": ("uniform", [7], False),
    "uniform-k262144": ("uniform", [262144], False),
    "static-k64": ("static", [64], True),
    "adaptive-k2": ("adaptive", [2], False),
    "adaptive-k64": ("adaptive", [64], False),
    "adaptive-k64-counts": ("adaptive", [64], True),
    "adaptive-k1000": ("adaptive", [1000], False),
    "adaptive-books": ("adaptive", [32, 32, 20], True),
}


def golden_codes(sizes: list[int]) -> list[NDArray[np.int64]]:
    """Three grids of codes by a formula that any language can repeat."""
    grids = []
    for number, (height, width) in enumerate(((24, 32), (24, 32), (5, 1))):
        y, x = np.mgrid[:height, :width]
        books = [
            ((x * x + 3 * y * (b + 1) + x * y // (7 + b)) // 5 + number) % k
            for b, k in enumerate(sizes)
        ]
        grids.append(books[0] if len(sizes) == 1 else np.stack(books, -1))
    return grids


def golden_statistics(sizes: list[int]) -> CodeStatistics:
    """Counts and orders by a formula."""
    counts = tuple(np.arange(k) ** 2 % 97 for k in sizes)
    orders = tuple((np.arange(k)[::-1]).astype(np.uint32) for k in sizes)
    return CodeStatistics("golden", counts, orders)


if __name__ == "__main__":
    for name, (entropy, sizes, learned) in CASES.items():
        statistics = golden_statistics(sizes) if learned else None
        path = FOLDER / f"{name}.vcb"
        size = write_codes(path, golden_codes(sizes), sizes, entropy=entropy, statistics=statistics)
        print(f"{path.name}: {size} bytes")
