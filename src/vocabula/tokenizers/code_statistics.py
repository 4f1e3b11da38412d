"""Prior knowledge of a tokenizer's codes: their counts, and which codes are similar.

Kept as integers beside the weights, so that every machine derives the same probabilities.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from vocabula.errors import CheckpointError
from vocabula.files import in_stable_order, input_error, one_line, replace_file, utf8_path
from vocabula.signals.code_names import CodeNames, as_names

FILE = "entropy.safetensors"
"""Name of the file in a saved tokenizer's folder."""
_FORMAT = "vocabula entropy 1"


@dataclass(frozen=True)
class CodeStatistics:
    """Counts of training codes, and an order in which similar codes are neighbours.

    Args:
        fingerprint: the name of the tokenizer's codes; see `CodeNames`.
        counts: for each book (K,) int64 >= 0.
        orders: for each book (K,) uint32, every code once.

    Attributes:
        ranks: for each book (K,) uint32: the place of each code in the order.
    """

    fingerprint: str
    counts: tuple[NDArray[np.int64], ...]
    orders: tuple[NDArray[np.uint32], ...]
    ranks: tuple[NDArray[np.uint32], ...] = field(init=False)

    def __post_init__(self) -> None:
        ranks = []
        for order in self.orders:
            rank = np.empty(len(order), np.uint32)
            rank[order] = np.arange(len(order), dtype=np.uint32)
            ranks.append(rank)
        object.__setattr__(self, "ranks", tuple(ranks))

    @property
    def symbols(self) -> tuple[int, ...]:
        """K of each book."""
        return tuple(len(counts) for counts in self.counts)

    def digest(self) -> bytes:
        """SHA-256 of counts and orders."""
        total = hashlib.sha256()
        for counts, order in zip(self.counts, self.orders, strict=True):
            total.update(len(counts).to_bytes(8, "little"))
            total.update(counts.astype("<i8").tobytes())
            total.update(order.astype("<u4").tobytes())
        return total.digest()

    def save(self, folder: Path) -> None:
        """Write the file into a saved tokenizer's folder; complete or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        replace_file(folder / FILE, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of the file."""
        tensors: dict[str, NDArray[np.int64] | NDArray[np.int32]] = {}
        for book, (counts, order) in enumerate(zip(self.counts, self.orders, strict=True)):
            tensors[f"counts.{book}"] = counts.astype(np.int64)
            tensors[f"order.{book}"] = order.astype(np.int32)
        metadata = {"format": _FORMAT, "fingerprint": self.fingerprint}
        return b"".join(in_stable_order(save(tensors, metadata=metadata)))


def load_statistics(folder: Path, names: CodeNames | str) -> CodeStatistics | None:
    """The statistics in a tokenizer's folder; None if missing or those of other codes.

    A tokenizer that was trained further has other codes; its old statistics no longer apply.

    Args:
        folder: of the tokenizer.
        names: of its codes, or its fingerprint.

    Raises:
        CheckpointError: the file is damaged or foreign.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with utf8_path(path) as place, safetensors.safe_open(place, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise (
            input_error(path, error, CheckpointError) or _damaged(path, one_line(str(error)))
        ) from None
    if metadata.get("format") != _FORMAT:
        raise _damaged(path, f"format {metadata.get('format')!r}")
    fingerprint = metadata.get("fingerprint", "")
    if not as_names(names).know(fingerprint):
        return None
    books = len(tensors) // 2
    try:
        counts = tuple(tensors[f"counts.{b}"].astype(np.int64) for b in range(books))
        orders = tuple(tensors[f"order.{b}"].astype(np.int64) for b in range(books))
    except KeyError as error:
        raise _damaged(path, f"no {error}") from None
    for book, (count, order) in enumerate(zip(counts, orders, strict=True)):
        if count.ndim != 1 or not len(count) or count.min() < 0 or count.max() > 2**38:
            raise _damaged(path, f"counts of book {book} below 0 or too large")
        if not np.array_equal(np.sort(order), np.arange(len(count))):
            raise _damaged(path, f"an order of book {book} that is none")
    return CodeStatistics(fingerprint, counts, tuple(order.astype(np.uint32) for order in orders))


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: expected counts of codes, got {what}; "
        "remove the file and run: vocabula counts RUN DATA"
    )
