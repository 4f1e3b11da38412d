"""Files of codes of several levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import TokenRecord, TokenWriter, read_tokens, write_tokens
from vocabula.errors import OptionError, ShapeError, TokensError
from vocabula.signals import CodeSpec

LAYOUTS = (CodeSpec((16, 16), (2,)), CodeSpec((512,), ()))
OPTIONS: dict[str, Any] = {"fingerprint": "f" * 64, "levels": LAYOUTS}


def records(count: int = 3) -> list[TokenRecord]:
    rng = np.random.default_rng(0)
    return [
        TokenRecord(
            [rng.integers(0, 16, (1, 2 + i, 2)), rng.integers(0, 512, (2, 2 * (2 + i)))],
            f"{i}.png",
            i,
            8,
            8 * (2 + i),
        )
        for i in range(count)
    ]


def rewritten(path: Path, **columns: Any) -> Path:
    """The file with other columns, as a damaged or foreign one would have them."""
    table = pq.read_table(path)
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        column = pa.array(values, table.schema.field(name).type)
        table = table.set_column(position, table.schema.field(name), column)
    pq.write_table(table, path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tokens(tmp_path / "t.parquet", records(), **OPTIONS)
    return tmp_path / "t.parquet"


def test_round_trip(path: Path) -> None:
    tokens = read_tokens(path, fingerprint="f" * 64)
    assert tokens.levels == LAYOUTS
    assert tokens.codebook_sizes == (16, 16, 512)
    for one, other in zip(records(), tokens, strict=True):
        assert len(other.levels) == 2
        for wanted, got in zip(one.levels, other.levels, strict=True):
            np.testing.assert_array_equal(wanted, got)
            assert got.dtype == np.int64
        assert (one.path, one.label, one.height, one.width) == (
            other.path, other.label, other.height, other.width
        )  # fmt: skip


def test_the_layout_is_the_documented_one(path: Path) -> None:
    """Codes of the levels one after the other, the coarsest first; one shape a level."""
    schema = pq.read_schema(path)
    assert str(schema.field("codes").type.value_type) == "uint16"  # holds the largest book
    row = pq.read_table(path).slice(1, 1).to_pylist()[0]
    assert row["shape"] == [[1, 3, 2], [2, 6]]
    coarse, fine = records()[1].levels
    assert row["codes"] == [*coarse.reshape(-1).tolist(), *fine.reshape(-1).tolist()]
    header = json.loads(schema.metadata[b"vocabula"])
    assert header["version"] == 2
    assert header["levels"] == [
        {"codebook_sizes": [16, 16], "code_shape": [2]},
        {"codebook_sizes": [512], "code_shape": []},
    ]
    # what readers of version 1 look for before they refuse the version
    assert (header["codebook_sizes"], header["code_shape"]) == ([16, 16, 512], [3])


def test_one_level_is_written_as_ever(tmp_path: Path) -> None:
    codes = [TokenRecord(np.array([[1, 2]]), "x", None, 4, 8)]
    write_tokens(tmp_path / "a", codes, fingerprint="f", levels=[CodeSpec((8,))])
    layouts = [CodeSpec((8,), ())]
    one = [TokenRecord([record.codes], "x", None, 4, 8) for record in codes]
    write_tokens(tmp_path / "b", one, fingerprint="f", levels=layouts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    header = json.loads(pq.read_schema(tmp_path / "a").metadata[b"vocabula"])
    assert list(header) == [
        "format", "version", "fingerprint", "codebook_sizes", "code_shape", "source",
        "label_names",
    ]  # fmt: skip
    assert header["version"] == 1
    assert pq.read_table(tmp_path / "a")["shape"].to_pylist() == [[1, 2]]


def test_what_is_for_one_level_says_so(path: Path) -> None:
    tokens = read_tokens(path)
    with pytest.raises(ShapeError, match="single level, got 2 levels"):
        _ = tokens.code_shape
    with pytest.raises(ShapeError, match=r"0\.png: codes: expected a single level"):
        _ = next(iter(tokens)).codes


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((1, 2, 2), int), "expected codes of 2 levels, got 1"),
        ([np.zeros((1, 2, 2), int)] * 3, "expected codes of 2 levels, got 3"),
        ([np.zeros((1, 3), int), np.zeros((2, 4), int)], r"x, level 1: .*\(\.\.\., 2\)"),
        ([np.zeros((1, 2, 2)), np.zeros((2, 4), int)], "x, level 1: expected integer codes"),
        ([np.full((1, 2, 2), 16), np.zeros((2, 4), int)], r"x, level 1: .*\[0, 16x16\), got 16"),
        ([np.zeros((1, 2, 2), int), np.full((2, 4), 512)], r"x, level 2: .*\[0, 512\), got 512"),
        ([np.zeros((1, 2, 2), int), np.full((2, 4), -1)], r"x, level 2: .* got -1"),
    ],
)
def test_codes_that_do_not_fit_are_not_written(tmp_path: Path, codes: Any, message: str) -> None:
    wrong = [TokenRecord(codes, "x", None, 4, 8)]
    with pytest.raises(TokensError, match=message):
        write_tokens(tmp_path / "t.parquet", wrong, **OPTIONS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "shapes",
    [
        [[[1, 2, 2]]] * 3,  # too few levels
        [[[1, 2, 2], [2, 4], [0]]] * 3,  # too many
        [[[1, 2, 2], [2, 5]]] * 3,  # more codes than there are
        [[[1, 2, 2], [-2, -4]]] * 3,
        [[[1, 2, 2], None]] * 3,
        [[[1, None, 2], [2, 4]]] * 3,
        [[]] * 3,
    ],
)
def test_shapes_that_do_not_fit_are_refused_on_reading(path: Path, shapes: Any) -> None:
    with pytest.raises(TokensError, match=r"0\.png: expected codes of shape .*encode again"):
        list(read_tokens(rewritten(path, shape=shapes)))


def test_codes_out_of_a_levels_range_are_refused_on_reading(path: Path) -> None:
    codes = [record["codes"] for record in pq.read_table(path).to_pylist()]
    codes[0][0] = 16  # the coarse books have 16 codewords, the fine one 512
    with pytest.raises(TokensError, match=r"0\.png, level 1: expected codes in \[0, 16x16\)"):
        list(read_tokens(rewritten(path, codes=codes)))


def test_header_and_columns_must_agree(path: Path, tmp_path: Path) -> None:
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"vocabula"])
    for change in (
        {"levels": header["levels"][:1]},
        {"levels": [{"codebook_sizes": [16], "code_shape": [2]}, header["levels"][1]]},
        {"levels": [{"code_shape": []}, header["levels"][1]]},
        {"levels": 3},
        {"levels": None},
    ):
        text = json.dumps({**header, **change}).encode()
        pq.write_table(table.replace_schema_metadata({b"vocabula": text}), tmp_path / "x")
        with pytest.raises(TokensError, match="another parquet file"):
            read_tokens(tmp_path / "x")
    text = json.dumps({**header, "version": 4, "levels": 3}).encode()
    pq.write_table(table.replace_schema_metadata({b"vocabula": text}), tmp_path / "x")
    with pytest.raises(TokensError, match="expected version 3 or lower, got 4; update vocabula"):
        read_tokens(tmp_path / "x")


def test_a_layout_needs_one_size_for_each_book(tmp_path: Path) -> None:
    for sizes, shape in (((8, 8), ()), ((8,), (2,)), ((), (0,))):
        with pytest.raises(OptionError, match="one codebook size for each book"):
            CodeSpec(sizes, shape)
    with pytest.raises(TokensError, match="with a codebook"):
        TokenWriter(tmp_path / "t", fingerprint="f", levels=())
