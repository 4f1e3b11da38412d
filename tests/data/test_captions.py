"""Captions from parquet files and from text files beside the images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import DataWarning
from vocabula.data.captions import read_captions
from vocabula.errors import DataError

PATHS = ["seven/1.png", "one/2.png", "none/3.png"]


def parquet(folder: Path, **columns: object) -> Path:
    path = folder / "captions.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_column_of_texts_by_path(tmp_path: Path) -> None:
    texts = ["a one", " a seven ", "another one", "of no signal"]
    paths = ["one/2.png", "seven/1.png", "one/2.png", "other.png"]
    file = parquet(tmp_path, path=paths, caption=texts)
    assert read_captions(file, PATHS) == [("a seven",), ("a one", "another one"), ()]


def test_a_column_of_lists_in_the_order_of_the_signals(tmp_path: Path) -> None:
    file = parquet(tmp_path, words=[["a seven", "a 7"], ["a one", ""], None], text=["x", "y", "z"])
    expected = [("a seven", "a 7"), ("a one",), ()]
    assert read_captions(file, PATHS, column="words") == expected
    assert read_captions(file, PATHS) == [("x",), ("y",), ("z",)]


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_columns_of_every_kind_of_string(tmp_path: Path, kind: pa.DataType) -> None:
    """By path, though there are as many rows as signals, in another order."""
    paths = pa.array(PATHS[::-1], pa.string()).cast(kind)
    texts = pa.array(["of none", "a one", "a seven"], pa.string()).cast(kind)
    file = parquet(tmp_path, path=paths, caption=texts)
    assert read_captions(file, PATHS) == [("a seven",), ("a one",), ("of none",)]


def test_text_files_beside_the_images(tmp_path: Path) -> None:
    (tmp_path / "seven").mkdir()
    (tmp_path / "seven" / "1.txt").write_text("a seven\r\n\r\n  a 7 \r\n", "utf-8-sig")
    assert read_captions(tmp_path, PATHS) == [("a seven", "a 7"), (), ()]
    # a path from elsewhere is looked for by its name
    (tmp_path / "9.txt").write_text("nine")
    assert read_captions(tmp_path, ["/somewhere/9.png", "../9.png"]) == [("nine",), ("nine",)]


@pytest.mark.parametrize(
    ("columns", "column", "message"),
    [
        ({"caption": ["a", "b"]}, None, "3 rows in the order of the tokens, got 2 rows"),
        ({"caption": [1, 2, 3]}, None, "got the columns caption; name it with --caption-column"),
        ({"words": ["a", "b", "c"]}, None, "expected a column caption or .* got the columns words"),
        ({"caption": ["a", "b", "c"]}, "words", "expected a column 'words'.*got the columns"),
        ({"caption": ["", " ", None]}, None, r"captions of the 3 signals.*seven/1\.png, got none"),
        ({"path": ["x"], "text": ["a"]}, None, "got none; it needs rows whose path"),
    ],
)
def test_wrong_tables_say_what_they_lack(
    tmp_path: Path, columns: dict[str, object], column: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_captions(parquet(tmp_path, **columns), PATHS, column=column)


def test_missing_damaged_and_empty_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing there; check the path"):
        read_captions(tmp_path / "missing", PATHS)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="damaged or foreign"):
        read_captions(tmp_path / "damaged.parquet", PATHS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"got none; it needs a \.txt file"):
        read_captions(tmp_path / "empty", PATHS)
    (tmp_path / "empty" / "seven").mkdir()
    (tmp_path / "empty" / "seven" / "1.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="expected text in UTF-8"):
        read_captions(tmp_path / "empty", PATHS)


def test_paths_inside_of_pictures_and_columns_beside_them(tmp_path: Path) -> None:
    """A table of pictures with their captions; the pictures themselves are not read."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": b"x", "path": path} for path in PATHS[::-1]]
    file = parquet(tmp_path, image=pa.array(cells, kind), caption=["of none", "a one", "a seven"])
    assert read_captions(file, PATHS) == [("a seven",), ("a one",), ("of none",)]


def test_numbers_in_place_of_paths_are_told(tmp_path: Path) -> None:
    file = parquet(tmp_path, path=[1, 2, 3], caption=["x", "y", "z"])
    with pytest.warns(DataWarning, match="in the order of the tokens: expected text in column 'p"):
        assert read_captions(file, PATHS) == [("x",), ("y",), ("z",)]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], ["caption", "caption"])
    pq.write_table(table, tmp_path / "captions.parquet")
    with pytest.raises(DataError, match="expected one column caption, got 2; rename or drop"):
        read_captions(tmp_path / "captions.parquet", PATHS)
