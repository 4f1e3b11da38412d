"""Files of codes of signals that are not images: version 3, with one size for each axis."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabula.data import TokenRecord, TokenWriter, read_tokens, write_tokens
from vocabula.data import token_writer as writing
from vocabula.data.code_arrays import read_codes
from vocabula.errors import ShapeError, TokensError
from vocabula.signals import CodeSpec

BOOKS = [CodeSpec((200, 200), (2,))]
OPTIONS: dict[str, Any] = {"fingerprint": "f" * 64, "levels": BOOKS, "signal": "vector"}
SERIES: dict[str, Any] = {**OPTIONS, "levels": [CodeSpec((300,))], "signal": "series"}


def vectors(path: Path, count: int = 3, **options: Any) -> Path:
    codes = np.arange(2 * count).reshape(count, 2) % 200
    with TokenWriter(path, **{**OPTIONS, **options}) as writer:
        writer.extend(codes, [f"row {i}" for i in range(count)], np.arange(count) % 3 - 1)
    return path


def series(path: Path) -> Path:
    records = [TokenRecord(np.arange(n), f"{n}.csv", None, 8 * n) for n in (2, 2, 3)]
    write_tokens(path, records, **SERIES)
    return path


def rewritten(path: Path, header: dict[str, Any] | None = None, **columns: Any) -> Path:
    """The file with other columns or fields of the header; None drops a column."""
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        if values is None:
            table = table.remove_column(place)
            continue
        kind = None if isinstance(values, pa.Array) else table.schema.field(name).type
        column = values if isinstance(values, pa.Array) else pa.array(values, kind)
        table = table.set_column(place, name, column)
    if header is not None:
        stored = json.loads(table.schema.metadata[b"vocabula"])
        text = json.dumps({**stored, **header})
        table = table.replace_schema_metadata({b"vocabula": text})
    pq.write_table(table, path)
    return path


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    schema = pq.read_schema(vectors(tmp_path / "t.parquet"))
    assert schema.names == ["codes", "shape", "extent", "path", "label"]
    assert str(schema.field("extent").type.value_type) == "int32"
    assert str(schema.field("codes").type.value_type) == "uint8"
    header = json.loads(schema.metadata[b"vocabula"])
    assert (header["version"], header["signal"]) == (3, "vector")
    assert (header["codebook_sizes"], header["code_shape"]) == ([200, 200], [2])
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert rows[1] == {"codes": [2, 3], "shape": [2], "extent": [], "path": "row 1", "label": 0}
    assert rows[0]["label"] is None
    rows = pq.read_table(series(tmp_path / "s.parquet")).to_pylist()
    assert [(row["shape"], row["extent"]) for row in rows] == [([n], [8 * n]) for n in (2, 2, 3)]


def test_records_and_batches_are_the_same_signals(tmp_path: Path) -> None:
    tokens = read_tokens(series(tmp_path / "s.parquet"))
    assert tokens.signal == "series"
    assert [len(batch) for batch in tokens.batches()] == [2, 1]
    first = next(iter(tokens.batches()))
    assert first.levels[0].tolist() == [[0, 1], [0, 1]]
    assert (first.extents.tolist(), first.labels.tolist()) == ([[16], [16]], [-1, -1])
    assert [(r.path, r.extent, r.label) for r in tokens] == [
        ("2.csv", (16,), None), ("2.csv", (16,), None), ("3.csv", (24,), None)
    ]  # fmt: skip
    with pytest.raises(ShapeError, match=r"2\.csv: expected a height and a width, got a signal of"):
        _ = next(iter(tokens)).height


def test_images_are_written_alike_at_once_and_one_by_one(tmp_path: Path) -> None:
    codes = np.arange(24).reshape(4, 2, 3)
    options = {**OPTIONS, "levels": [CodeSpec((300,))], "signal": "image"}
    with TokenWriter(tmp_path / "a", **options) as writer:
        writer.extend(codes, list("abcd"), [0, None, -1, 2], (16, 24))
    records = [TokenRecord(codes[i], "abcd"[i], (0, None, None, 2)[i], 16, 24) for i in range(4)]
    write_tokens(tmp_path / "b", records, **options)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_tokens(tmp_path / "a").signal == "image"


def test_many_vectors_are_read_as_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_GROUP_ROWS", 300)
    path = vectors(tmp_path / "t.parquet", 1000)
    assert pq.ParquetFile(path).metadata.num_row_groups == 4
    arrays = read_codes(read_tokens(path))
    assert arrays.levels[0].dtype == np.uint8 and arrays.grids == ((1,),)  # one position
    assert (arrays.levels[0][:, 0] == np.arange(2000).reshape(1000, 2) % 200).all()
    assert arrays.extents.shape == (1000, 0) and arrays.signal == "vector"
    assert arrays.attributes["class"].tolist() == [i % 3 - 1 for i in range(1000)]
    assert arrays.paths[999] == "row 999"
    monkeypatch.setattr(writing, "_GROUP_CODES", 100)
    vectors(path, 1000, overwrite=True)
    assert pq.ParquetFile(path).metadata.num_row_groups == 20
    assert read_codes(read_tokens(path)).digest() == arrays.digest()


def test_paths_of_any_kind(tmp_path: Path) -> None:
    codes = np.zeros((3, 2), int)
    given: list[Any] = [
        None,
        ["a", "caf\udce9", ""],
        pa.array(["a", None, "c"]),
        pa.chunked_array([["a", "b"], ["c"]], pa.large_string()),
    ]
    with TokenWriter(tmp_path / "t", **OPTIONS) as writer:
        for paths in given:
            writer.extend(codes, paths)
    found = [record.path for record in read_tokens(tmp_path / "t")]
    assert found == ["", "", "", "a", "caf\\xe9", "", "a", "", "c", "a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "codes", "message"),
    [
        ({}, np.array([[1, 2], [3, 200]]), r"^b: expected codes in \[0, 200x200\), got 200; use"),
        ({}, np.array([[-1, 2], [3, 4]]), r"^a: .* got -1"),
        ({}, np.zeros((2, 2)), r"^a: expected integer codes of shape \(2\), got float64 of shape"),
        ({}, np.zeros((2, 3), int), r"^a: expected integer codes of shape \(2\), got int64 of s"),
        ({}, np.zeros((2, 1, 2), int), r"of shape \(2\), got int64 of shape \(1, 2\)"),
        ({"extent": (8,)}, np.zeros((2, 2), int), r"of shape \(n, 2\), got int64 of shape \(2,\)"),
        (
            {"extent": (0,)},
            np.zeros((2, 4, 2), int),
            r"^a: expected sizes in \[1, 2\^31\), got \(0",
        ),
        (
            {"extent": [[1], [2**31]]},
            np.zeros((2, 4, 2), int),
            r"^b: expected sizes in .* got \(21",
        ),
        (
            {"extent": [[1]]},
            np.zeros((2, 4, 2), int),
            "expected 2 extents, one for.* got 1",
        ),
        ({"paths": ["a"]}, np.zeros((2, 2), int), "expected 2 paths, one for each signal, got 1"),
        ({"labels": [1, 2, 3]}, np.zeros((2, 2), int), "expected 2 labels, .* got 3; give as many"),
        ({"paths": None}, np.full((2, 2), 201), "^record 1: expected codes in"),
    ],
)
def test_what_does_not_fit_is_not_written(
    tmp_path: Path, options: dict[str, Any], codes: Any, message: str
) -> None:
    with (
        pytest.raises(TokensError, match=message) as got,
        TokenWriter(tmp_path / "t", **OPTIONS) as writer,
    ):
        writer.extend(np.zeros((1, 2), int))
        writer.extend(codes, **{"paths": ["a", "b"], **options})
    assert "\n" not in str(got.value) and list(tmp_path.iterdir()) == []


def test_levels_of_one_call_have_as_many_signals(tmp_path: Path) -> None:
    options = {**OPTIONS, "levels": [CodeSpec((8,)), CodeSpec((8,))], "signal": "series"}
    with (
        pytest.raises(TokensError, match="expected 2 codes of level 2, one for each signal, got 1"),
        TokenWriter(tmp_path / "t", **options) as writer,
    ):
        writer.extend([np.zeros((2, 3), int), np.zeros((1, 6), int)], extent=(6,))


def test_images_need_height_and_width(tmp_path: Path) -> None:
    for extent in ((), (8,), (1, 8, 8)):
        with pytest.raises(TokensError, match=r"x: expected a size for each axis of the image"):
            write_tokens(
                tmp_path / "t", [TokenRecord(np.zeros((1, 1, 2), int), "x", None, *extent)],
                **{**OPTIONS, "signal": "image"},
            )  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"extent": None}, r"another parquet file \(without extent; columns codes, shape, path"),
        ({"extent": pa.array(["8"] * 3)}, "expected lists of whole numbers in extent, got string"),
        ({"extent": [[16], [16, 1], [24]]}, r"2\.csv: expected an extent of 1 numbers.*got 2; the"),
        ({"extent": [[16, 1]] * 3}, r"2\.csv: expected integer codes of shape \(n, n\), got"),
        ({"extent": [[]] * 3}, r"2\.csv: expected integer codes of shape \(\), got int64"),
        ({"extent": [[16], [16], None]}, r"3\.csv: expected extent, got an empty field"),
        ({"extent": [[16], [16], [None]]}, r"3\.csv: expected whole numbers in extent, got an em"),
        ({"extent": [[16], [0], [24]]}, r"2\.csv: expected a size in \[1, 2\^31\), got 0"),
        ({"extent": pa.array([[16], [16.5], [24]])}, r"whole numbers in extent, got 16\.5"),
        (
            {"shape": [[2], [1, 2], [3]]},
            r"2\.csv: expected integer codes of shape \(n\), got int64",
        ),
        ({"shape": [[2], [2], [4]]}, r"3\.csv: expected codes of shape \(4,\), got 3 codes"),
        ({"shape": [[2], [2], []]}, r"3\.csv: expected codes of shape \(\), got 3 codes"),
        ({"shape": [[2], None, [3]]}, r"2\.csv: expected codes of shape \(\), got 2 codes"),
        ({"codes": [[0, 1], [0, 1, 2], [0, 1, 2]]}, r"expected codes of shape \(2,\), got 3 codes"),
        (
            {"codes": [[0, 1], [0, 300], [0, 1, 2]]},
            r"2\.csv: expected codes in \[0, 300\), got 300",
        ),
    ],
)
def test_wrong_records_never_get_out(tmp_path: Path, columns: Any, message: str) -> None:
    path = rewritten(series(tmp_path / "s.parquet"), **columns)
    with pytest.raises(TokensError, match=message) as got:
        list(read_tokens(path).batches())
    assert "\n" not in str(got.value)


@pytest.mark.parametrize("header", [{"signal": 3}, {"signal": None}, {"fingerprint": 3}])
def test_damaged_headers(tmp_path: Path, header: dict[str, Any]) -> None:
    path = rewritten(series(tmp_path / "s.parquet"), header)
    with pytest.raises(TokensError, match="damaged metadata; encode again"):
        read_tokens(path)


def test_a_record_without_path_is_named_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_GROUP_ROWS", 2)
    with TokenWriter(tmp_path / "t", **OPTIONS) as writer:
        writer.extend(np.zeros((5, 2), int))
    codes = np.zeros((5, 2), int)
    codes[3] = 255
    table = pq.read_table(tmp_path / "t")
    table = table.set_column(0, "codes", pa.array(codes.tolist(), table.schema.field("codes").type))
    pq.write_table(table, tmp_path / "t", row_group_size=2)
    with pytest.raises(TokensError, match="t: record 3: expected codes in"):
        list(read_tokens(tmp_path / "t"))


def test_another_program_may_drop_the_type_of_empty_lists(tmp_path: Path) -> None:
    with TokenWriter(tmp_path / "t", **{**OPTIONS, "levels": [CodeSpec((8,))]}) as writer:
        writer.extend(np.array([3, 4]))
    empty = pa.array([[], []])
    assert str(empty.type.value_type) == "null"
    tokens = read_tokens(rewritten(tmp_path / "t", extent=empty, shape=empty))
    assert [(record.codes.tolist(), record.extent) for record in tokens] == [(3, ()), (4, ())]


def test_shorter_signals_end_in_minus_one_and_lost_metadata_are_told(tmp_path: Path) -> None:
    path = series(tmp_path / "s.parquet")
    found = read_codes(read_tokens(path))
    assert found.codes(0).tolist() == [[0, 1, -1], [0, 1, -1], [0, 1, 2]]
    assert found.codes(0, slice(2)).tolist() == [[0, 1], [0, 1]]
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(TokensError, match="without the vocabula metadata"):
        read_tokens(path)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[CodeSpec], list[TokenRecord]]:
    axes = draw(st.integers(0, 3))
    specs = [
        CodeSpec(draw(st.lists(st.integers(1, 2**40), min_size=n, max_size=n)), shape)
        for n, shape in draw(
            st.lists(st.sampled_from([(1, ()), (1, (1,)), (3, (3,))]), min_size=1, max_size=3)
        )
    ]
    sides = st.tuples(*[st.integers(1, 3)] * axes)

    def codes(spec: CodeSpec, grid: Sequence[int]) -> Any:
        limits = np.broadcast_to(np.array(spec.codebook_sizes).reshape(spec.code_shape),
                                 (*grid, *spec.code_shape))  # fmt: skip
        return np.random.default_rng(draw(st.integers(0, 99))).integers(0, limits)

    records = [
        TokenRecord(
            [codes(spec, draw(sides)) for spec in specs],
            draw(st.text(max_size=4)),
            draw(st.none() | st.integers(0, 2**62)),
            *draw(sides),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    return specs, records


@pytest.mark.slow
@given(made=files(), repeated=st.integers(1, 3))
def test_what_is_written_is_read(
    made: tuple[list[CodeSpec], list[TokenRecord]], repeated: int
) -> None:
    specs, records = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        with TokenWriter(path, fingerprint="f", levels=specs, signal="any") as writer:
            for record in records:
                many = [np.repeat(codes[None], repeated, 0) for codes in record.levels]
                labels = [record.label] * repeated
                writer.extend(many, [record.path] * repeated, labels, record.extent)
        found = list(read_tokens(path))
    assert len(found) == writer.count == len(records) * repeated
    wanted = [record for record in records for _ in range(repeated)]
    for one, other in zip(wanted, found, strict=True):
        assert (one.path, one.label, one.extent) == (other.path, other.label, other.extent)
        for codes, read in zip(one.levels, other.levels, strict=True):
            assert codes.shape == read.shape and (codes == read).all()
