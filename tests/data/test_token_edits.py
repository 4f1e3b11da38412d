"""Tables of tokens that other programs have changed: clear values are read, others refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import TokenRecord, read_tokens, write_tokens
from vocabula.data.code_arrays import read_codes
from vocabula.errors import TokensError
from vocabula.signals import CodeSpec

CODES = [np.array([[1, 2, 3], [4, 5, i]]) for i in range(3)]


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    records = [TokenRecord(codes, f"{i}.png", i, 16, 24) for i, codes in enumerate(CODES)]
    options: dict[str, Any] = {"fingerprint": "f", "levels": [CodeSpec((512,))]}
    write_tokens(tmp_path / "t.parquet", records, **options)
    return pq.read_table(tmp_path / "t.parquet")


@pytest.fixture
def change(tmp_path: Path, table: pa.Table) -> Callable[..., Path]:
    """A function that puts another column into the table and writes it."""

    def write(name: str, column: Any) -> Path:
        place = table.schema.get_field_index(name)
        pq.write_table(table.set_column(place, name, column), tmp_path / "e.parquet")
        return tmp_path / "e.parquet"

    return write


LISTS = [codes.reshape(-1).tolist() for codes in CODES]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("codes", pa.array(LISTS, pa.list_(pa.int64()))),
        ("codes", pa.array(LISTS, pa.large_list(pa.int32()))),
        ("codes", pa.array(LISTS, pa.list_(pa.float64()))),
        ("codes", pa.array(LISTS, pa.list_(pa.uint64()))),
        ("codes", pa.array(LISTS, pa.list_(pa.uint16(), 6))),
        ("shape", pa.array([[2, 3]] * 3, pa.large_list(pa.int64()))),
        ("shape", pa.array([[2.0, 3.0]] * 3)),
        ("shape", pa.array([[2, 3]] * 3, pa.list_(pa.int64(), 2))),
        ("height", pa.array([16.0] * 3)),
        ("height", pa.array([16] * 3, pa.uint64())),
        ("width", pa.array([24] * 3, pa.int64()).dictionary_encode()),
        ("path", pa.array([f"{i}.png" for i in range(3)], pa.large_string())),
        ("path", pa.array([f"{i}.png" for i in range(3)]).dictionary_encode()),
        ("label", pa.array([0.0, 1.0, 2.0])),
        ("label", pa.array([0, 1, 2], pa.uint8())),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_other_types_of_the_same_values_are_read(
    change: Callable[..., Path], name: str, column: Any
) -> None:
    found = list(read_tokens(change(name, column)))
    for i, record in enumerate(found):
        np.testing.assert_array_equal(record.codes, CODES[i])
        assert record.codes.dtype == np.int64
        kept = (record.path, record.label, record.height, record.width)
        assert kept == (f"{i}.png", i, 16, 24)
        assert all(type(value) in (str, int) for value in kept)


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("codes", [[1.5] * 6] * 3, r"0\.png: expected whole numbers in codes, got 1\.5; correct"),
        ("codes", [[1] * 6, [None] * 6, [1] * 6], r"1\.png: expected whole .* got an empty field"),
        ("codes", [[1] * 6, None, [1] * 6], r"1\.png: expected codes, got an empty field"),
        ("codes", [[1] * 6, [-1] * 6, [1] * 6], r"1\.png: expected codes in \[0, 512\), got -1"),
        ("codes", [[2**40] * 6] * 3, r"got 1099511627776; use codes"),
        ("codes", pa.array([[2**64 - 1] * 6] * 3, pa.list_(pa.uint64())), "got 18446744073709551"),
        ("codes", [[1] * 7] * 3, r"expected codes of shape \(2, 3\), got 7 codes"),
        ("codes", ["1 2 3"] * 3, "expected lists of whole numbers in codes, got string"),
        ("codes", [1, 2, 3], "expected lists of whole numbers in codes, got int64"),
        ("codes", [[[1, 2, 3], [4, 5, 6]]] * 3, "expected lists of whole numbers in codes, got li"),
        ("codes", pa.array([b"123456"] * 3), "expected lists of whole numbers in codes, got bin"),
        ("shape", [6, 6, 6], "expected lists of whole numbers in shape, got int64"),
        ("shape", [[2, 3.5]] * 3, r"expected codes of shape \(2\.0, 3\.5\), got 6 codes"),
        ("shape", [[2, None]] * 3, "expected codes of shape"),
        ("shape", [None] * 3, "expected lists of whole numbers in shape, got null"),
        ("shape", [[2**40, 2**40, 2**40]] * 3, "expected codes of shape"),
        ("shape", [[-2, -3]] * 3, "expected codes of shape"),
        ("shape", [[]] * 3, "expected lists of whole numbers in shape"),
        ("height", [16.0, 16.5, 16.0], r"1\.png: expected whole numbers in height, got 16\.5"),
        ("height", [16.0, float("nan"), 16.0], r"1\.png: expected whole numbers in height, got n"),
        ("height", [16, None, 16], r"1\.png: expected whole numbers in height, got an empty"),
        ("height", [16, -1, 16], r"1\.png: expected a height in \[1, 2\^31\), got -1"),
        ("width", [24, 24, 2**40], r"2\.png: expected a width in \[1, 2\^31\), got 1099"),
        ("width", ["24"] * 3, "expected whole numbers in width, got string"),
        ("path", [1, 2, 3], "expected text in path, got int64"),
        ("path", [["a"]] * 3, "expected text in path, got list"),
        ("label", [[1], [2], [3]], "expected whole numbers or text in label, got list"),
        ("label", [0.5, 1.0, 2.0], r"expected whole numbers or text in label, got 0\.5"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_line(
    change: Callable[..., Path], name: str, column: Any, message: str
) -> None:
    path = change(name, column if isinstance(column, pa.Array) else pa.array(column))
    with pytest.raises(TokensError, match=message) as got:
        list(read_tokens(path))
    assert "\n" not in str(got.value)


def test_labels_as_text_are_classes_by_name(change: Callable[..., Path]) -> None:
    tokens = read_tokens(change("label", pa.array(["dog", None, "cat"])))
    assert [record.label for record in tokens] == [1, None, 0]
    assert tokens.label_names == ["cat", "dog"]
    assert read_codes(tokens).attributes["class"].tolist() == [1, -1, 0]


def test_order_rows_and_further_columns_do_not_matter(tmp_path: Path, table: pa.Table) -> None:
    index = pa.array(range(3), pa.int64())
    edited = table.select(table.column_names[::-1]).append_column("__index_level_0__", index)
    pq.write_table(pa.concat_tables([edited, edited.slice(1, 1)]), tmp_path / "e.parquet")
    assert [r.path for r in read_tokens(tmp_path / "e.parquet")] == [
        "0.png",
        "1.png",
        "2.png",
        "1.png",
    ]
    pq.write_table(table, tmp_path / "e.parquet", row_group_size=1, compression="gzip")
    assert [r.label for r in read_tokens(tmp_path / "e.parquet")] == [0, 1, 2]


def test_lost_metadata_are_told_with_the_way_to_keep_them(tmp_path: Path, table: pa.Table) -> None:
    other = {b"pandas": b"{}", b"ARROW:schema": b""}
    for metadata in (None, {b"pandas": other[b"pandas"]}):
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "e.parquet")
        with pytest.raises(TokensError, match=r"without the vocabula metadata.*replace_schema_m"):
            read_tokens(tmp_path / "e.parquet")
    original = pq.read_schema(tmp_path / "t.parquet").metadata
    mended = pq.read_table(tmp_path / "e.parquet").replace_schema_metadata(original)
    pq.write_table(mended, tmp_path / "e.parquet")
    assert len(list(read_tokens(tmp_path / "e.parquet"))) == 3


def test_columns_that_are_missing_or_there_twice(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table.drop_columns(["label"]), tmp_path / "e.parquet")
    with pytest.raises(TokensError, match=r"parquet file \(without label; columns"):
        read_tokens(tmp_path / "e.parquet")
    pq.write_table(table.append_column("codes", table["codes"]), tmp_path / "e.parquet")
    with pytest.raises(TokensError, match="expected one column codes, got 2; rename or drop"):
        read_tokens(tmp_path / "e.parquet")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"3",
        b"\xff",
        b"[" * 100_000,
        b'{"format": "vocabula tokens", "version": "one"}',
        b'{"format": "vocabula tokens", "version": 1}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": 3, "code_shape": []}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": [-3], "code_shape": []}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": [3], "code_shape": [],'
        b' "fingerprint": 3}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": [3], "code_shape": [],'
        b' "fingerprint": "f", "label_names": "cat"}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": [3], "code_shape": [],'
        b' "fingerprint": "f", "crops": "x"}',
        b'{"format": "vocabula tokens", "version": 1, "codebook_sizes": [1' + b"0" * 30 + b"],"
        b' "code_shape": [], "fingerprint": "f"}',
    ],
)
def test_damaged_metadata(tmp_path: Path, table: pa.Table, header: bytes) -> None:
    pq.write_table(table.replace_schema_metadata({b"vocabula": header}), tmp_path / "e.parquet")
    with pytest.raises(TokensError, match="got another parquet file"):
        read_tokens(tmp_path / "e.parquet")
