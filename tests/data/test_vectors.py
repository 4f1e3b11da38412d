"""Vectors from every kind of file, and what is no file of vectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from vocabula.data import DataWarning, VectorSource, open_vectors
from vocabula.errors import DataError
from vocabula.signals import Vector

ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
LABELS = ["b", "a", "b", None, "a", "a", "b"]
KEYS = [f"row{i}" for i in range(7)]


def _parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def _npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _csv(path: Path) -> Path:
    lines = ["key,x,y,z,label"]
    for key, row, label in zip(KEYS, ROWS, LABELS, strict=True):
        lines.append(",".join([key, *(f"{value:.9g}" for value in row), label or ""]))
    path.write_text("\n".join(lines))
    return path


FIXED = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.reshape(-1)), 3)
MAKERS: dict[str, Callable[[Path], Path]] = {
    "npy": lambda p: _npy(p / "a.npy", ROWS),
    "npy in columns": lambda p: _npy(p / "a.npy", np.asfortranarray(ROWS)),
    "npz": lambda p: _npz(p / "a.npz", vectors=ROWS, label=np.array([1, 0, 1, -1, 0, 0, 1])),
    "npz, any name": lambda p: _npz(p / "a.npz", states=ROWS),
    "lists": lambda p: _parquet(p / "a.parquet", key=KEYS, v=pa.array(ROWS.tolist()), label=LABELS),
    "fixed lists": lambda p: _parquet(p / "a.parquet", vectors=FIXED, label=LABELS),
    "columns": lambda p: _parquet(p / "a.parquet", x=ROWS[:, 0], y=ROWS[:, 1], z=ROWS[:, 2]),
    "csv": lambda p: _csv(p / "a.csv"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_file_gives_the_rows(kind: str, tmp_path: Path) -> None:
    source = open_vectors(MAKERS[kind](tmp_path))
    assert (len(source), source.channels) == (7, 3)
    batches = list(source.batches(batch_size=3))
    assert [len(batch.values) for batch in batches] == [3, 3, 1]
    found = np.concatenate([batch.values.numpy() for batch in batches])
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)
    assert found.dtype == np.float32 and not source.problems
    labels = source.labels(np.arange(7)).tolist()
    if kind in ("lists", "fixed lists", "csv"):
        assert (labels, source.label_names) == ([1, 0, 1, -1, 0, 0, 1], ["a", "b"])
    elif kind == "npz":
        assert labels == [1, 0, 1, -1, 0, 0, 1]
    else:
        assert labels == [-1] * 7
    assert source.keys == (KEYS if kind in ("lists", "csv") else None)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_types_of_floats(dtype: str, tmp_path: Path) -> None:
    source = open_vectors(_npy(tmp_path / "a.npy", ROWS.astype(dtype)))
    np.testing.assert_allclose(next(source.batches()).values.numpy(), ROWS, rtol=1e-3, atol=1e-3)


def test_a_file_of_an_array_is_mapped(tmp_path: Path) -> None:
    source = open_vectors(_npy(tmp_path / "a.npy", ROWS))
    assert isinstance(source._vectors, np.memmap)


def test_rows_that_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64)
    rows[2, 1], rows[5, 0], rows[6, 2] = np.nan, np.inf, 1e300  # the last is no float32
    source = open_vectors(_npy(tmp_path / "a.npy", rows))
    with pytest.warns(DataWarning, match=r"left out 3 rows with NaN or infinity: 2, 5, 6"):
        kept = [batch.indices.numpy() for batch in source.batches(batch_size=2)]
    assert np.concatenate(kept).tolist() == [0, 1, 3, 4]
    assert source.problems == ["left out 3 rows with NaN or infinity: 2, 5, 6"]
    strict = open_vectors(tmp_path / "a.npy", strict=True)
    with pytest.raises(DataError, match=r"a\.npy\[2\]: expected finite values"):
        list(strict.batches(batch_size=2))


def test_all_rows_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(DataError, match="in every row"):
        list(VectorSource(np.full((4, 2), np.nan)).batches())


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(5, np.float32), r"expected vectors \(N, D\), got shape \(5,\)"),
        (np.zeros((2, 3, 4), np.float32), r"expected vectors \(N, D\), got shape \(2, 3, 4\)"),
        (np.zeros((5, 2), np.int64), "expected float16, float32 or float64, got int64"),
        (np.zeros((5, 2), np.complex64), "expected float16, float32 or float64, got complex64"),
        (np.zeros((0, 2), np.float32), r"expected rows of values, got none, shape \(0, 2\)"),
        (np.zeros((5, 0), np.float32), r"expected rows of values, got none, shape \(5, 0\)"),
        (np.array([["a", "b"]]), "expected float16, float32 or float64, got <U1"),
    ],
)
def test_arrays_that_are_no_vectors(array: np.ndarray, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        open_vectors(_npy(tmp_path / "a.npy", array))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    objects = np.array([[object()]], dtype=object)
    for path in (_npy(tmp_path / "a.npy", objects), _npz(tmp_path / "a.npz", vectors=objects)):
        with pytest.raises(DataError, match="expected a NumPy array of numbers, got"):
            open_vectors(path)


def test_files_that_hold_no_vectors(tmp_path: Path) -> None:
    cases: list[tuple[Path, str]] = [
        (tmp_path / "missing.npy", "got nothing at that place"),
        (
            _npz(tmp_path / "two.npz", a=ROWS, b=ROWS),
            "expected an array named vectors, .* got a, b",
        ),
        (_parquet(tmp_path / "text.parquet", word=["a"]), r"got .*word \(string\)"),
        (_parquet(tmp_path / "whole.parquet", n=[1, 2]), r"got .*n \(int64\)"),
        (_parquet(tmp_path / "whole-lists.parquet", v=[[1, 2]]), "expected lists of floats"),
        (_parquet(tmp_path / "ragged.parquet", v=[[1.0], [1.0, 2.0]]), "got 1 to 2"),
        (_parquet(tmp_path / "null.parquet", v=[[1.0], None]), "got none in some"),
        (_parquet(tmp_path / "several.parquet", v=[[1.0]], w=[[1.0]]), "got v, w"),
        (
            _parquet(tmp_path / "empty.parquet", v=pa.array([], FIXED.type)),
            "without rows",
        ),
    ]
    for name, content in (
        ("empty.npy", b""),
        ("damaged.npz", b"PK\x03\x04no archive"),
        ("damaged.parquet", b"PAR1 nothing PAR1"),
        ("empty.csv", b""),
        ("other.txt", b"1,2\n"),
    ):
        (tmp_path / name).write_bytes(content)
        cases.append((tmp_path / name, "expected"))
    for path, reason in cases:
        with pytest.raises(DataError, match=reason) as caught:
            open_vectors(path)
        assert "\n" not in str(caught.value)


def test_labels_and_keys_have_one_for_each_row() -> None:
    with pytest.raises(DataError, match="expected 7 labels, one for each vector, got 2"):
        VectorSource(ROWS, np.array([1, 2]))
    with pytest.raises(DataError, match="expected 7 keys, one for each vector, got 1"):
        VectorSource(ROWS, keys=["a"])


def test_a_second_reading_is_the_same() -> None:
    source = VectorSource(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (
            np.concatenate([b.values for b in source.batches(batch_size=2)]) for _ in range(2)
        )
    assert np.array_equal(first, second)
    assert source.content() == VectorSource(ROWS.copy()).content()


def test_rows_whose_sum_overflows_are_finite() -> None:
    largest = np.finfo(np.float32).max
    rows = np.array([[largest, largest], [largest, -largest], [1.0, np.inf]], np.float32)
    with pytest.warns(DataWarning, match="left out 1 row with NaN or infinity: 2"):
        (batch,) = VectorSource(rows).batches()
    np.testing.assert_array_equal(batch.values.numpy(), rows[:2])
    Vector(2).refuse(batch.values)
    for wrong in ([np.inf, -np.inf], [np.nan, 0.0], [largest, np.nan]):
        with pytest.raises(DataError, match="expected finite values"):
            Vector(2).refuse(torch.tensor([wrong]))
