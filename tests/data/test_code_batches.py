"""Codes in memory: what is read, what is refused, who is held out, and the order of batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vocabula.data import TokenRecord, read_tokens, write_tokens
from vocabula.data.code_arrays import read_codes, value_count
from vocabula.data.code_batches import (
    code_batches,
    size_batches,
    split_codes,
    train_code_batches,
)
from vocabula.errors import DataError, TokensError
from vocabula.signals import CodeSpec


def written(path: Path, records: list[TokenRecord], **header: Any) -> Path:
    layouts = [CodeSpec((300, 20), (2,))]
    write_tokens(path, records, fingerprint="f00d", levels=layouts, source="made", **header)
    return path


def record(i: int, *, label: int | None = None, grid: tuple[int, int] = (2, 3)) -> TokenRecord:
    codes = np.full((*grid, 2), i % 20, np.int64)
    codes[0, 0, 0] = 299
    return TokenRecord(codes, f"{i}.png", label, 16, 24)


def test_codes_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", [record(i, label=i or None) for i in range(5)])
    arrays = read_codes(read_tokens(path))
    assert len(arrays) == 5
    assert arrays.grids == ((2, 3),)
    assert arrays.levels[0].dtype == np.uint16
    assert arrays.attributes["class"].tolist() == [-1, 1, 2, 3, 4]
    assert arrays.extents.tolist() == [[16, 24]] * 5
    assert list(arrays.paths) == [f"{i}.png" for i in range(5)]
    codes = arrays.codes(0, np.array([3, 1]))
    assert codes.shape == (2, 2, 3, 2)
    assert codes[:, 1, 2, 1].tolist() == [3, 1] and codes[0, 0, 0, 0] == 299
    assert arrays.digest() == read_codes(read_tokens(path)).digest()
    assert arrays.digest() != arrays.take(np.array([1, 0, 2, 3, 4])).digest()


def test_different_grids_are_arrays_of_their_own(tmp_path: Path) -> None:
    records = [record(0), record(1, grid=(3, 1)), record(2)]
    path = written(tmp_path / "t.parquet", records)
    arrays = read_codes(read_tokens(path))
    assert arrays.sizes is not None and arrays.sizes[0].tolist() == [[2, 3], [3, 1], [2, 3]]
    assert arrays.grids == ((3, 3),) and arrays.counts is None
    for codes, expected in zip(arrays.levels[0], records, strict=True):
        assert np.array_equal(codes, expected.codes)
    filled = arrays.codes(0, np.array([1, 2]))
    assert filled.shape == (2, 3, 3, 2)
    assert filled[0, :, 1:].unique().tolist() == [-1] == filled[1, 2].unique().tolist()
    assert filled[0, :, 0, 1].tolist() == [1, 1, 1] and filled[1, 1, 2, 1] == 2
    window = arrays.window(0, 1, (1, -1), (4, 3))
    assert window[:2, 1, 1].tolist() == [1, 1]
    assert window[2:].unique().tolist() == [-1] == window[:, 0].unique().tolist()
    assert arrays.window(0, 1, (9, 0), (2, 2)).unique().tolist() == [-1]
    taken = arrays.take(np.array([1]))
    assert taken.grids == ((3, 1),) and taken.digest() != arrays.digest()
    together = list(size_batches(arrays, 6))
    assert [batch.indices.tolist() for batch in together] == [[0], [2], [1]]
    assert [tuple(batch.levels[0].shape) for batch in together] == [(1, 2, 3, 2)] * 2 + [
        (1, 3, 1, 2)
    ]


def test_no_records_and_negative_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="expected codes, got no record"):
        read_codes(read_tokens(written(tmp_path / "none.parquet", [])))
    path = written(tmp_path / "t.parquet", [record(0, label=1), record(1, label=-2)])
    with pytest.raises(DataError, match=r"1\.png: expected a label >= 0 or none, got -2"):
        read_codes(read_tokens(path))


def test_classes_are_those_with_a_name_or_a_label(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", [record(0), record(1, label=2)])
    arrays = read_codes(read_tokens(path))
    assert value_count(arrays, "class", None) == 3
    assert value_count(arrays, "class", ["a", "b", "c", "d"]) == 4
    with pytest.raises(DataError, match=r"1\.png: expected a label below 2.*got 2.*--no-classes"):
        value_count(arrays, "class", ["a", "b"])
    none = replace(arrays, attributes={"class": np.full(2, -1)})
    assert value_count(none, "class", ["a"]) == 0


def test_numbers_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    arrays = read_codes(read_tokens(written(tmp_path / "t.parquet", [record(0, label=10**12)])))
    with pytest.raises(DataError, match=r"expected labels below 65536, got 1000000000000; number"):
        value_count(arrays, "class", None)


def test_signals_of_one_picture_stay_together() -> None:
    pictures = [f"{i % 10}.png" for i in range(120)]
    kept, out = split_codes(pictures, share=0.25, most=2000, seed=3)
    assert sorted([*kept, *out]) == list(range(120)) and len(out) == 24  # two of ten pictures
    assert {pictures[i] for i in kept}.isdisjoint({pictures[i] for i in out})
    assert len(split_codes(pictures, share=0.25, most=13, seed=3)[1]) == 12
    one = split_codes(pictures, share=0.01, most=5, seed=3)[1]  # a picture is the least
    assert len(one) == 12 and len({pictures[i] for i in one}) == 1
    uneven = ["a"] * 50 + ["b"] * 3
    assert {uneven[i] for i in split_codes(uneven, share=0.05, most=9, seed=0)[1]} == {"b"}


def test_signals_of_different_pictures_are_split_as_ever() -> None:
    names = [f"{i}.png" for i in range(50)]
    for pictures in (names, [""] * 50):
        kept, out = split_codes(pictures, share=0.1, most=9, seed=1)
        expected = split_codes(50, share=0.1, most=9, seed=1)
        assert kept.tolist() == expected[0].tolist() and out.tolist() == expected[1].tolist()
    drawn = np.random.Generator(np.random.Philox(key=[1, 0], counter=[0, 0, 0, 2])).permutation(50)
    assert sorted(drawn[:5].tolist()) == out.tolist()


def test_squares_of_a_picture_are_known_by_the_header(tmp_path: Path) -> None:
    names = ["a/cat#0.jpg", "a/cat#1.jpg", "b#0", "b#1", "x.parquet[3]#0"]
    records = [TokenRecord(record(i).codes, name, None, 16, 24) for i, name in enumerate(names)]
    plain = read_codes(read_tokens(written(tmp_path / "t.parquet", records)))
    assert plain.origins == names
    cut = read_codes(read_tokens(written(tmp_path / "u.parquet", records, crops=2)))
    assert cut.origins == ["a/cat.jpg", "a/cat.jpg", "b", "b", "x.parquet[3]"]
    assert cut.take(np.array([2, 0])).origins == ["b", "a/cat.jpg"]


def test_a_split_is_a_partition_by_the_seed() -> None:
    kept, out = split_codes(1000, share=0.05, most=2000, seed=3)
    assert len(out) == 50
    assert sorted([*kept, *out]) == list(range(1000))
    assert out.tolist() == split_codes(1000, share=0.05, most=2000, seed=3)[1].tolist()
    assert out.tolist() != split_codes(1000, share=0.05, most=2000, seed=4)[1].tolist()
    assert len(split_codes(1000, share=0.5, most=30, seed=0)[1]) == 30
    assert len(split_codes(4, share=0.01, most=30, seed=0)[1]) == 1


def test_batches_are_functions_of_their_number(coded: Callable[..., Any]) -> None:
    arrays = read_codes(read_tokens(coded(10).tokens))

    def indices(count: int, **options: Any) -> list[list[int]]:
        batches = train_code_batches(arrays, seed=1, **options)
        return [batch.indices.tolist() for batch in itertools.islice(batches, count)]

    whole = indices(10, batch_size=4)
    assert sorted(itertools.chain(*whole[:5])) == sorted([*range(10), *range(10)])
    assert indices(4, batch_size=4, start=6) == whole[6:]
    halves = [indices(10, batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        assert sorted(halves[0][number] + halves[1][number]) == sorted(batch)


def test_everything_comes_once_in_order(coded: Callable[..., Any]) -> None:
    arrays = read_codes(read_tokens(coded(10).tokens))
    batches = list(code_batches(arrays, 4))
    assert [len(batch.attributes["class"]) for batch in batches] == [4, 4, 2]
    assert [i for batch in batches for i in batch.indices.tolist()] == list(range(10))
    assert batches[1].levels[0].equal(arrays.codes(0, np.arange(4, 8)))
    assert batches[2].attributes["class"].tolist() == [8 % 3, 9 % 3]
