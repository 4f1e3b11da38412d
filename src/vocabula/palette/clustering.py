"""An integer codebook for rows of bytes: distinct rows, counted, and k-means over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.functional import kmeans


@dataclass(frozen=True, slots=True)
class DistinctRows:
    """The distinct rows.

    Attributes:
        rows: (n, D) uint8, in lexicographic order.
        places: (N,) int64, index of each original row in `rows`.
        counts: (n,) int64, how often each occurs.
    """

    rows: NDArray[np.uint8]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]


def distinct(rows: NDArray[np.uint8]) -> DistinctRows:
    """Find the distinct rows of (N, D) bytes.

    A photograph of 768 x 512 pixels has 13,000 to 64,000 colours: k-means over them with their
    counts equals k-means over all pixels in a tenth of the time.
    """
    if rows.shape[1] > 4:
        found, places, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        return DistinctRows(found, places.reshape(-1), counts)
    # Up to four bytes make one number, in the same order: sorting is then ten times as fast.
    packed = np.zeros((len(rows), 4), np.uint8)
    packed[:, : rows.shape[1]] = rows
    numbers = packed.view(">u4")[:, 0].astype(np.uint32)
    keys, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    found = keys.astype(">u4")[:, None].view(np.uint8)[:, : rows.shape[1]]
    return DistinctRows(np.ascontiguousarray(found), places, counts)


def cluster(
    rows: NDArray[np.uint8], counts: NDArray[np.int64], size: int, *, iterations: int, seed: int
) -> NDArray[np.uint8]:
    """A codebook of at most `size` rows of bytes, for distinct rows (n, D) and their counts (n,).

    If there are no more rows than `size`, it is the rows themselves: nothing is lost. Otherwise it
    is the rounded centroids of k-means, without duplicates.
    """
    if len(rows) <= size:
        return rows
    vectors = torch.from_numpy(rows.astype(np.float32))
    weights = torch.from_numpy(counts.astype(np.int64))
    centroids, _ = kmeans(vectors, size, iterations=iterations, seed=seed, weights=weights)
    return np.unique(centroids.round().clamp(0, 255).byte().numpy(), axis=0)
