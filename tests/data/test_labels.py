"""Labels of every type: whole numbers, texts, and what is neither."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import ArraySource, DataWarning, ImageSource, open_source
from vocabula.data.labels import UnusableLabelsError, labels_of, labels_of_array
from vocabula.errors import DataError


@pytest.mark.parametrize(
    ("column", "values", "names"),
    [
        (pa.array([3, None, 0, -1]), [3, -1, 0, -1], None),
        (pa.array([3.0, None, float("nan"), 0.0]), [3, -1, -1, 0], None),
        (pa.array([2.0, 1.0], pa.float16()), [2, 1], None),
        (pa.array([True, False, None]), [1, 0, -1], None),
        (pa.array([Decimal(2), Decimal(1)]), [2, 1], None),
        (pa.array([1, 2], pa.uint64()), [1, 2], None),
        (pa.array(["dog", "cat", None, "", "dog"]), [1, 0, -1, -1, 1], ["cat", "dog"]),
        (pa.array(["dog", "cat"], pa.string_view()), [1, 0], ["cat", "dog"]),
        (pa.array(["dog", "cat"]).dictionary_encode(), [1, 0], ["cat", "dog"]),
        (pa.array([5, 5, 2]).dictionary_encode(), [5, 5, 2], None),
        (pa.chunked_array([["b"], ["a", "b"]]), [1, 0, 1], ["a", "b"]),
        (pa.array(["10", "9", "2"]), [2, 1, 0], ["2", "9", "10"]),
        (pa.array([-2, 1, -1]), [0, 2, 1], ["-2", "-1", "1"]),
        (pa.array([10**12, 7, None]), [1, 0, -1], ["7", str(10**12)]),
        (pa.array([2**64 - 1, 7], pa.uint64()), [1, 0], ["7", str(2**64 - 1)]),
        (pa.nulls(2), [-1, -1], None),
        (pa.array([], pa.string()), [], []),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:20],
)
def test_what_columns_mean(column: Any, values: list[int], names: list[str] | None) -> None:
    found = labels_of(column)
    assert (found.values.tolist(), found.names) == (values, names)
    assert found.values.dtype == np.int64


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (pa.array([0.5, 1.0]), "0.5"),
        (pa.array([float("inf")]), "numbers without bound"),
        (pa.array([[1]]), "list<"),
        (pa.array([b"cat"]), "binary"),
        (pa.array([{"a": 1}]), "struct<"),
        (pa.array([0], pa.timestamp("s")), "timestamp"),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:20],
)
def test_what_are_no_labels(column: Any, got: str) -> None:
    with pytest.raises(UnusableLabelsError, match=got):
        labels_of(column)


def test_names_that_the_file_gives_are_kept_where_they_cover_the_texts() -> None:
    assert labels_of(pa.array(["b", "a"]), ["b", "x", "a"]).values.tolist() == [0, 2]
    assert labels_of(pa.array(["b", "c"]), ["b", "x"]).names == ["b", "c"]
    assert labels_of(pa.array([1, 0]), ["b", "x"]).names == ["b", "x"]


@pytest.mark.parametrize(
    ("array", "values", "names"),
    [
        (np.array(["dog", "cat"]), [1, 0], ["cat", "dog"]),
        (np.array([b"dog", b"cat"]), [1, 0], ["cat", "dog"]),
        (np.array(["dog", "cat"], object), [1, 0], ["cat", "dog"]),
        (np.array([[2.0], [np.nan]]), [2, -1], None),
        (np.array([1, 2], ">i2"), [1, 2], None),
        (np.array([True, False]), [1, 0], None),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_arrays(array: np.ndarray, values: list[int], names: list[str] | None) -> None:
    found = labels_of_array(array)
    assert (found.values.tolist(), found.names) == (values, names)
    source = ArraySource(np.zeros((2, 8, 8), np.uint8), array)
    assert source.labels(np.arange(2)).tolist() == values and source.label_names == names


@pytest.mark.parametrize(
    "array", [np.array([0.5, 1]), np.array([1 + 1j, 2]), np.array([{}, 1], object)], ids=str
)
def test_arrays_that_are_no_labels_are_left_out_with_a_word(array: np.ndarray) -> None:
    with pytest.warns(DataWarning, match="labels are left out: expected whole numbers or text"):
        source = ArraySource(np.zeros((2, 8, 8), np.uint8), array)
    assert source.read(0).label is None


def test_objects_in_an_npz_are_left_out_and_never_loaded(tmp_path: Path) -> None:
    images = np.zeros((2, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(["a", "b"], object))
    with pytest.warns(DataWarning, match="got Python objects, which are never loaded"):
        source = open_source(tmp_path / "x.npz")
    assert source.read(0).label is None
    np.savez(tmp_path / "y.npz", images=images, labels=np.array(["b", "a"]))
    source = open_source(tmp_path / "y.npz")
    assert [source.read(i).label for i in (0, 1)] == [1, 0] and source.label_names == ["a", "b"]


# ------------------------------------------------------------------- parquet


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, format="PNG")
    return buffer.getvalue()


def table(path: Path, *, names: list[str] | None = None, **columns: Any) -> Path:
    length = len(next(iter(columns.values())))
    made = pa.table({"image": [png()] * length, **columns})
    if names is not None:
        features = {"label": {"_type": "ClassLabel", "names": names}}
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        made = made.replace_schema_metadata(about)
    pq.write_table(made, path, row_group_size=2)
    return path


def labels(source: ImageSource) -> list[int | None]:
    return [source.read(i).label for i in range(len(source))]


def test_a_column_of_texts_becomes_classes(tmp_path: Path) -> None:
    source = open_source(table(tmp_path / "x.parquet", label=["dog", "cat", None, "ant", "dog"]))
    assert labels(source) == [2, 1, None, 0, 2]
    assert source.label_names == ["ant", "cat", "dog"]


def test_whole_floats_are_labels_and_others_are_left_out(tmp_path: Path) -> None:
    source = open_source(table(tmp_path / "x.parquet", label=[1.0, None, 0.0]))
    assert labels(source) == [1, None, 0] and source.label_names is None
    path = table(tmp_path / "y.parquet", target=[0.5, 1.0])
    with pytest.warns(DataWarning, match=r"column 'target': labels are left out: .*, got 0\.5"):
        assert labels(open_source(path)) == [None, None]
    path = table(tmp_path / "z.parquet", label=[[1, 2], [3]])
    with pytest.warns(DataWarning, match=r"labels are left out: .*, got list<"):
        assert labels(open_source(path)) == [None, None]


def test_which_of_several_columns_is_taken_is_said(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", fine_label=[1, 0], label=["b", "a"])
    with pytest.warns(DataWarning, match="are taken from column 'label', not from 'fine_label'"):
        source = open_source(path)
    assert labels(source) == [1, 0] and source.label_names == ["a", "b"]
    path = table(tmp_path / "y.parquet", label=[[1], [2]], category=["b", "a"])
    with pytest.warns(DataWarning, match="are taken from column 'category', not from 'label'"):
        assert labels(open_source(path)) == [1, 0]


def test_the_classes_of_several_files_are_put_together_by_name(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    table(one / "a.parquet", label=["cat", "dog"])
    table(one / "b.parquet", label=["ant", "dog"])
    assert labels(open_source(one)) == [1, 2, 0, 2]
    two = tmp_path / "two"
    two.mkdir()
    table(two / "a.parquet", label=[0, 1], names=["cat", "dog"])
    table(two / "b.parquet", label=[0, -1], names=["dog", "ant"])
    source = open_source(two)
    assert labels(source) == [1, 2, 2, None] and source.label_names == ["ant", "cat", "dog"]


@pytest.mark.parametrize(
    ("second", "expected"),
    [([2.0, None], [0, 1, 2, None]), (pa.nulls(2), [0, 1, None, None]), (["a", "b"], None)],
    ids=["floats", "nulls", "texts"],
)
def test_files_whose_labels_differ_in_type(tmp_path: Path, second: Any, expected: Any) -> None:
    table(tmp_path / "a.parquet", label=[0, 1])
    table(tmp_path / "b.parquet", label=second)
    if expected is not None:
        assert labels(open_source(tmp_path)) == expected
        return
    with pytest.warns(DataWarning, match="labels are left out: .*int64 in one file and string"):
        assert labels(open_source(tmp_path)) == [None] * 4


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    made = pa.table([pa.array([png()]), pa.array([1]), pa.array([2])], ["image", "label", "label"])
    pq.write_table(made, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="expected one column label, got 2; rename or drop"):
        open_source(tmp_path / "x.parquet")
