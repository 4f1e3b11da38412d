"""Sharing out the pieces of data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vocabula.data import Batch
from vocabula.data.base import Source
from vocabula.data.pieces import Piece, shared_out
from vocabula.data.source_part import SourcePart


@pytest.mark.parametrize("seed", range(3))
def test_each_signal_has_one_shard(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        counts = rng.integers(0, 12, rng.integers(1, 9)).tolist()
        if not sum(counts):
            continue
        total = int(rng.integers(1, sum(counts) + 1))
        shards = int(rng.integers(1, total + 1))
        pieces = [Piece(str(k), 0, n) for k, n in enumerate(counts)]
        found = list(shared_out(iter(pieces), total, shards))
        own = [
            (piece.path, row)
            for _, piece in found
            for row in range(piece.first, piece.first + piece.count)
        ]
        assert own == [(str(k), row) for k, n in enumerate(counts) for row in range(n)][:total]
        sizes = np.bincount([shard for shard, piece in found for _ in range(piece.count)])
        assert len(sizes) == shards and sizes.min() > 0
        assert sizes.max() <= np.ceil(1.5 * total / shards) + 1
        numbers = [shard for shard, _ in found]
        assert numbers == sorted(numbers)


def test_shards_end_where_row_groups_end() -> None:
    pieces = [Piece("a", 0, 100), Piece("a", 100, 90), Piece("b", 0, 110)]
    found = list(shared_out(iter(pieces), 300, 3))
    assert [(shard, piece.path, piece.count) for shard, piece in found] == [
        (0, "a", 100),
        (1, "a", 90),
        (2, "b", 110),
    ]


class Numbers(Source):
    """The numbers 0 to 9, of a kind that knows nothing of parts."""

    def __init__(self) -> None:
        super().__init__("numbers", 1)

    def __len__(self) -> int:
        return 10

    def content(self) -> str:
        return "ten"

    def batches(self, *, batch_size=None, limit=None, workers=0, overlap=True):  # type: ignore[no-untyped-def]
        for first in range(0, limit or 10, 4):
            rows = torch.arange(first, min(first + 4, limit or 10))
            yield Batch(
                rows[:, None].float(), {"class": rows}, rows, [f"{n}" for n in rows.tolist()]
            )


def test_part_of_any_source() -> None:
    part = Numbers().part(3, 9)
    assert isinstance(part, SourcePart) and len(part) == 6
    found = list(part.batches())
    assert [n for batch in found for n in batch.values[:, 0].tolist()] == [3, 4, 5, 6, 7, 8]
    assert [n for batch in found for n in batch.indices.tolist()] == list(range(6))
    assert [path for batch in found for path in batch.paths] == list("345678")
    assert list(Numbers().pieces()) == [Piece("numbers", 0, 10)]
    assert part.left_out(2) == ("[5]", "not readable")
