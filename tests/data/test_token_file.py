"""Files of codes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import TokenRecord, TokenWriter, read_tokens, write_tokens
from vocabula.data import token_writer as writing
from vocabula.errors import OutputError, TokensError
from vocabula.signals import CodeSpec

OPTIONS: dict[str, Any] = {"fingerprint": "a" * 64, "levels": [CodeSpec((512,))]}


def records(count: int, size: int = 512, shape: tuple[int, ...] = ()) -> list[TokenRecord]:
    rng = np.random.default_rng(0)
    return [
        TokenRecord(
            rng.integers(0, size, (2, 3 + i % 2, *shape)),
            f"{i}.png",
            None if i % 3 else i,
            16,
            24 + i,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("sizes", "shape", "kind"),
    [
        ((256,), (), "uint8"),
        ((512,), (), "uint16"),
        ((2**18,), (), "int32"),
        ((2**40,), (), "int64"),
        ((16, 16), (2,), "uint8"),
    ],
)
def test_round_trip_in_the_smallest_type(tmp_path: Path, sizes, shape, kind: str) -> None:
    path = tmp_path / "tokens.parquet"
    written = records(5, min(sizes), shape)
    options: dict[str, Any] = {"fingerprint": "f", "levels": [CodeSpec(sizes, shape)]}
    assert write_tokens(path, written, source="photos", label_names=["x"], **options) == 5
    tokens = read_tokens(path, fingerprint="f")
    assert len(tokens) == 5 and tokens.codebook_sizes == sizes and tokens.code_shape == shape
    assert (tokens.source, tokens.label_names) == ("photos", ["x"])
    for _ in range(2):  # a file can be read again
        for one, other in zip(written, tokens, strict=True):
            np.testing.assert_array_equal(one.codes, other.codes)
            assert other.codes.dtype == np.int64
            assert (one.path, one.label, one.height, one.width) == (
                other.path, other.label, other.height, other.width
            )  # fmt: skip
    assert str(pq.read_schema(path).field("codes").type.value_type) == kind
    assert json.loads(pq.read_schema(path).metadata[b"vocabula"])["fingerprint"] == "f"


def test_many_records_make_several_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_GROUP_ROWS", 4)
    write_tokens(tmp_path / "t.parquet", records(10), **OPTIONS)
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups == 3
    assert [r.path for r in read_tokens(tmp_path / "t.parquet")] == [f"{i}.png" for i in range(10)]


def test_no_records(tmp_path: Path) -> None:
    assert write_tokens(tmp_path / "t.parquet", [], **OPTIONS) == 0
    assert list(read_tokens(tmp_path / "t.parquet")) == []


def test_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("precious")
    with pytest.raises(OutputError, match="got an existing one"):
        write_tokens(path, records(1), **OPTIONS)
    assert path.read_text() == "precious"
    write_tokens(path, records(1), overwrite=True, **OPTIONS)
    assert len(read_tokens(path)) == 1
    with pytest.raises(OutputError, match="got a folder"):
        write_tokens(tmp_path, records(1), **OPTIONS)
    with pytest.raises(OutputError, match="got a file"):
        write_tokens(path / "t.parquet", records(1), **OPTIONS)
    assert write_tokens(tmp_path / "made" / "t.parquet", records(1), **OPTIONS) == 1


def test_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[TokenRecord]:
        yield from records(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(tmp_path / "t.parquet", failing(), **OPTIONS)
    assert os.listdir(tmp_path) == []


class FullDisk:
    """A file on a disk with room for some bytes more."""

    def __init__(self, path: Path, room: int) -> None:
        self._file = open(path, "xb")  # noqa: SIM115
        self._room = room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 100, 700])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(writing, "_open_new", lambda path: FullDisk(path, room))
    monkeypatch.setattr(writing, "_GROUP_ROWS", 2)
    path = tmp_path / "t.parquet"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
        write_tokens(path, records(50), overwrite=True, **OPTIONS)
    assert os.listdir(tmp_path) == ["t.parquet"] and path.read_text() == "precious"


def test_codes_of_another_tokenizer_are_refused_with_both_hashes(tmp_path: Path) -> None:
    write_tokens(tmp_path / "t.parquet", records(1), **OPTIONS)
    with pytest.raises(TokensError, match=r"tokenizer bbbbbbbbbbbb, got .* aaaaaaaaaaaa;"):
        read_tokens(tmp_path / "t.parquet", fingerprint="b" * 64)


def test_writing_codes_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(TokensError, match=r"0\.png: expected codes in \[0, 8\), got"):
        write_tokens(path, records(1), **{**OPTIONS, "levels": [CodeSpec((8,))]})
    bad = [TokenRecord(np.array([[-1]]), "x", None, 1, 1)]
    with pytest.raises(TokensError, match="got -1"):
        write_tokens(path, bad, **OPTIONS)
    with pytest.raises(TokensError, match="of shape"):
        write_tokens(path, records(1), fingerprint="f", levels=[CodeSpec((8, 8), (2,))])
    with pytest.raises(TokensError, match="got float64"):
        write_tokens(path, [TokenRecord(np.zeros((1, 1)), "x", None, 1, 1)], **OPTIONS)
    with pytest.raises(TokensError, match="continuous"):
        TokenWriter(path, fingerprint="f", levels=[CodeSpec(())])
    assert os.listdir(tmp_path) == []


def test_books_of_different_size_are_checked_each(tmp_path: Path) -> None:
    options: dict[str, Any] = {"fingerprint": "f", "levels": [CodeSpec((4, 2), (2,))]}
    good = TokenRecord(np.array([[[3, 1]]]), "good", None, 1, 1)
    write_tokens(tmp_path / "t.parquet", [good], **options)
    with pytest.raises(TokensError, match="got 3"):
        write_tokens(
            tmp_path / "u.parquet",
            [TokenRecord(np.array([[[1, 3]]]), "bad", None, 1, 1)],
            **options,
        )


def change(path: Path, column: str, values: list[object]) -> None:
    table = pq.read_table(path)
    index = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(index, field, pa.array(values, field.type)), path)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("codes", [[0, 1, 2, 3, 4, 600]], r"codes in \[0, 512\), got 600"),
        ("codes", [[1, 2]], "got 2 codes"),
        ("codes", [None], "empty field"),
        ("shape", [[2, -3]], "of shape"),
    ],
)
def test_wrong_records_never_get_out(tmp_path: Path, column, values, message: str) -> None:
    path = tmp_path / "t.parquet"
    write_tokens(path, records(1), **OPTIONS)
    change(path, column, values)
    with pytest.raises(TokensError, match=message):
        list(read_tokens(path))


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tokens(path, records(40), **OPTIONS)
    content = path.read_bytes()
    for damage in (b"", b"words", content[:-9], content[: len(content) // 2]):
        path.write_bytes(damage)
        with pytest.raises(TokensError):
            read_tokens(path)
    pq.write_table(pa.table({"image": [1]}), path)
    with pytest.raises(TokensError, match=r"got another parquet file \(columns image\)"):
        read_tokens(path)
    with pytest.raises(TokensError, match="check the path"):
        read_tokens(tmp_path / "none.parquet")


def test_one_flipped_bit_in_the_data_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tokens(path, records(200), **OPTIONS)
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(TokensError, match="damaged"):
        list(read_tokens(path))


def test_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tokens(path, records(1), **OPTIONS)
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"vocabula"]) | {"version": 99}
    pq.write_table(table.replace_schema_metadata({"vocabula": json.dumps(header)}), path)
    with pytest.raises(TokensError, match="got 99; update vocabula"):
        read_tokens(path)
