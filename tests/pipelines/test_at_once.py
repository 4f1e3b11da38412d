"""Parts of batches of vectors that several threads take at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import tiny_tokenizer
from vocabula.data import Batch, DataWarning, VectorSource
from vocabula.data.token_file import read_tokens
from vocabula.errors import DataError
from vocabula.pipelines import at_once, encode_dataset
from vocabula.pipelines.at_once import map_at_once, threads_for
from vocabula.tokenizers import Tokenizer, build_tokenizer


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three threads and small parts; afterwards torch has its threads back, and no more run."""
    monkeypatch.setattr(at_once, "LEAST_ROWS", 4)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    assert not [t for t in threading.enumerate() if t.name.startswith("vocabula")]
    torch.set_num_threads(before)


def tokenizer_of_vectors() -> Tokenizer:
    specs = {
        "signal": "vector",
        "encoder": "identity",
        "decoder": "identity",
        "quantizer": {"name": "vector", "codebook_size": 16},
    }
    torch.manual_seed(0)
    tokenizer = build_tokenizer(specs, 3)
    assert isinstance(tokenizer, Tokenizer)
    with torch.no_grad():
        tokenizer.train()(torch.randn(64, 3))
    return tokenizer.eval()


def batches(*sizes: int) -> Iterator[Batch]:
    first = 0
    for size in sizes:
        rows = torch.arange(first, first + size)
        yield Batch(rows[:, None].float(), {}, rows, [f"[{row}]" for row in rows.tolist()])
        first += size


@pytest.mark.parametrize("sizes", [(12,), (5, 13, 1), (30, 30, 30, 7), ()])
def test_parts_come_in_order_from_several_threads(sizes: tuple[int, ...]) -> None:
    found = list(map_at_once(lambda part: part.indices.tolist(), batches(*sizes), threads=3))
    assert [row for part in found for row in part] == list(range(sum(sizes)))
    assert all(0 < len(part) <= 10 for part in found)


def test_several_parts_are_under_way_at_once_with_one_thread_each() -> None:
    together = threading.Barrier(3)

    def meet(part: Batch) -> int:
        together.wait(timeout=20)  # breaks unless three threads come
        return torch.get_num_threads()

    assert list(map_at_once(meet, batches(12, 12), threads=3)) == [1] * 6


def test_what_a_part_raises_comes_at_its_turn() -> None:
    def third(part: Batch) -> int:
        if int(part.indices[0]) == 8:
            raise ValueError("third")
        return len(part)

    found = []
    with pytest.raises(ValueError, match="third"):
        for size in map_at_once(third, batches(12, 12), threads=3):
            found.append(size)
    assert found == [4, 4]


def test_closing_stops_early() -> None:
    with closing(map_at_once(len, batches(*[12] * 50), threads=3)) as sizes:
        assert next(sizes) == 4


def test_a_file_of_codes_holds_every_finite_vector_in_order(tmp_path: Path) -> None:
    tokenizer, rows = tokenizer_of_vectors(), np.random.default_rng(0).normal(size=(101, 3))
    rows[40] = np.inf
    labels = np.arange(101) % 7
    source, out = VectorSource(rows, labels), tmp_path / "t.parquet"
    with pytest.warns(DataWarning, match="left out 1 row"):
        assert encode_dataset(tokenizer, source, out, batch_size=16) == 100
    records, kept = list(read_tokens(out)), np.delete(np.arange(101), 40)
    wanted = tokenizer.encode(torch.from_numpy(rows[kept]).float())
    assert [int(r.codes) for r in records] == wanted.tolist()
    assert [r.path for r in records] == [f"[{row}]" for row in kept]
    assert [r.label for r in records] == labels[kept].tolist()


def test_a_refused_vector_leaves_no_file(tmp_path: Path) -> None:
    rows = np.zeros((101, 3))
    rows[90] = np.nan
    with pytest.raises(DataError, match=r"\[90\]"):
        source = VectorSource(rows, strict=True)
        encode_dataset(tokenizer_of_vectors(), source, tmp_path / "t.parquet", batch_size=16)
    assert not list(tmp_path.iterdir())


def test_signals_with_axes_share_the_threads_of_each_operation() -> None:
    assert threads_for(tokenizer_of_vectors()) == 3
    assert threads_for(tiny_tokenizer()) == 1
