"""Further attributes in files of codes: columns, words, edits by other programs, and old files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import TokenRecord, TokenWriter, read_tokens, write_tokens
from vocabula.data.code_arrays import read_codes, value_count
from vocabula.errors import TokensError
from vocabula.signals import CodeSpec

SPEAKERS = ("anna", "ben")
OPTIONS: dict[str, Any] = {"fingerprint": "f00d", "levels": [CodeSpec((8,))]}


@pytest.fixture(params=["vector", "image"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three signals with speakers 1, none and 0, and rooms without names, in each layout."""
    file, image = tmp_path / "tokens.parquet", request.param == "image"
    options = OPTIONS | {"signal": request.param, "attributes": {"speaker": SPEAKERS, "room": ()}}
    codes, extent = np.array([3, 1, 2]), (4, 4) if image else ()
    with TokenWriter(file, **options) as writer:
        levels = codes.reshape(3, *[1] * len(extent))
        writer.extend(
            levels, None, [0, None, 2], extent, {"speaker": [1, None, 0], "room": [5, 6, 7]}
        )
    return file


def test_columns_and_words_go_to_a_file_and_back(path: Path) -> None:
    tokens = read_tokens(path)
    assert tokens.attributes == {"speaker": SPEAKERS, "room": ()}
    assert tokens.names == {"class": (), "speaker": SPEAKERS, "room": ()}
    (batch,) = tokens.batches()
    found = {name: values.tolist() for name, values in batch.attributes.items()}
    assert found == {"class": [0, -1, 2], "speaker": [1, -1, 0], "room": [5, 6, 7]}
    assert [record.attributes for record in tokens] == [
        {"speaker": 1, "room": 5},
        {"speaker": -1, "room": 6},
        {"speaker": 0, "room": 7},
    ]
    table = pq.read_table(path)
    assert table["speaker"].to_pylist() == [1, None, 0]
    header = json.loads(table.schema.metadata[b"vocabula"])
    assert header["attributes"] == {"speaker": ["anna", "ben"], "room": None}
    assert header["version"] == (1 if tokens.signal == "image" else 3)
    arrays = read_codes(tokens)
    assert value_count(arrays, "speaker", SPEAKERS) == 2 and value_count(arrays, "room", None) == 8


def test_records_are_copied_with_their_attributes(path: Path, tmp_path: Path) -> None:
    tokens, other = read_tokens(path), tmp_path / "copy.parquet"
    write_tokens(other, tokens, **OPTIONS, signal=tokens.signal, attributes=tokens.attributes)
    assert [r.attributes for r in read_tokens(other)] == [r.attributes for r in tokens]


def test_words_that_another_program_wrote_are_read(path: Path) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("speaker")
    pq.write_table(table.set_column(place, "speaker", pa.array(["ben", None, "anna"])), path)
    (batch,) = read_tokens(path).batches()
    assert batch.attributes["speaker"].tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1], [2], [3]]), r"expected whole numbers or text in speaker, got list"),
        (pa.array([0.5, 1, 0]), r"expected whole numbers or text in speaker, got "),
        (None, "got another parquet file .without speaker; columns"),
    ],
)
def test_damaged_columns_are_refused(column: Any, message: str, path: Path) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("speaker")
    edited = table.remove_column(place)
    if column is not None:
        edited = table.set_column(place, "speaker", column)
    pq.write_table(edited.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(TokensError, match=message) as caught:
        list(read_tokens(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("attributes", [["speaker"], {"speaker": 3}, {"speaker": [1]}, 3])
def test_damaged_words_are_refused(attributes: Any, path: Path) -> None:
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"vocabula"]) | {"attributes": attributes}
    pq.write_table(table.replace_schema_metadata({b"vocabula": json.dumps(header)}), path)
    with pytest.raises(TokensError, match="got another parquet file or damaged metadata"):
        read_tokens(path)


@pytest.mark.parametrize("name", ["codes", "label", "height", "extent", "class", "a b", "text"])
def test_names_that_a_column_cannot_have_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TokensError, match=f"got '{name}'; rename it"):
        TokenWriter(tmp_path / "t.parquet", **OPTIONS, attributes={name: ()})


def test_attributes_that_the_file_does_not_have_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(TokensError, match="expected no further attribute, got speaker; name it"),
        TokenWriter(tmp_path / "t.parquet", **OPTIONS) as writer,
    ):
        writer.append(TokenRecord(np.zeros((1, 1), int), "", None, 4, 4, attributes={"speaker": 0}))
    assert not list(tmp_path.iterdir())


def test_files_without_them_are_as_they_were(tmp_path: Path) -> None:
    write_tokens(
        tmp_path / "t.parquet",
        [TokenRecord(np.zeros(1, int)[0:1].reshape(()), "", 3)],
        **OPTIONS,
        signal="vector",
    )
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.names == ["codes", "shape", "extent", "path", "label"]
    assert "attributes" not in json.loads(schema.metadata[b"vocabula"])
    assert read_tokens(tmp_path / "t.parquet").names == {"class": ()}
