"""Parquet files in the layout of the Hugging Face image feature."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import DataWarning, ParquetSource, open_source
from vocabula.errors import DataError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(value: int, mode: str = "RGB", size: int = 4) -> bytes:
    buffer = io.BytesIO()
    color = value if mode == "L" else (value,) * 3
    Image.new(mode, (size, size), color).save(buffer, format="PNG")
    return buffer.getvalue()


def write(
    path: Path,
    images: list[bytes | None],
    labels: list[int | None],
    *,
    names: list[str] | None = None,
    rows: int = 3,
    column: str = "image",
) -> Path:
    cells = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(images)]
    table = pa.table({column: pa.array(cells, STRUCT), "label": pa.array(labels, pa.int64())})
    features = {column: {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    if names:
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=rows)
    return path


def test_rows_labels_and_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.parquet", [png(i) for i in range(7)], [0, 1] * 3 + [-1], names=list("ab")
    )
    source = open_source(path)
    assert len(source) == 7 and source.channels == 3 and source.label_names == ["a", "b"]
    samples = [source.read(i) for i in (6, 0, 3)]
    assert [int(s.image[0, 0, 0]) for s in samples] == [6, 0, 3]
    assert [s.label for s in samples] == [None, 0, 1]
    assert samples[2].path == "3.png" and samples[2].image.shape == (4, 4, 3)


def test_column_is_found_by_type_where_metadata_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [png(5, "L")], [3], column="picture")
    source = open_source(path)
    assert source.channels == 1 and source.label_names is None
    assert source.read(0).label == 3
    table = pa.table({"n": [1], "jpg": pa.array([png(9)], pa.binary())})
    pq.write_table(table, tmp_path / "plain.parquet")
    assert open_source(tmp_path / "plain.parquet").read(0).image[0, 0, 0] == 9


def test_shards_in_a_folder_and_by_pattern(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", [png(0), png(1)], [0, 0])
    write(tmp_path / "part-1.parquet", [png(2), png(3)], [0, 0])
    for data in (tmp_path, str(tmp_path / "part-*.parquet")):
        source = open_source(data)
        assert [int(source.read(i).image[0, 0, 0]) for i in range(4)] == [0, 1, 2, 3]
        assert source.describe(3) == "part-1.parquet[1]"


def test_row_groups_are_read_when_needed_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocabula.data.row_groups.MEMORY", 1)  # so that nothing fits
    write(tmp_path / "x.parquet", [png(i) for i in range(10)], [0] * 10, rows=2)
    source = ParquetSource([tmp_path / "x.parquet"])
    reads = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda s, i, *a, **k: reads.append(i) or original(s, i, *a, **k),
    )
    assert source.window_blocks == 2 and source.block_size == 2
    np.testing.assert_array_equal(source.block_bounds, [0, 2, 4, 6, 8, 10])
    for index in (0, 1, 2, 0, 3, 4, 1):
        source.read(index)
    assert reads == [1, 2, 0]  # group 0 was read to count channels, and evicted by group 2


def test_small_files_are_shuffled_freely(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [png(i) for i in range(10)], [0] * 10, rows=2)
    assert open_source(path).block_bounds is None


def test_broken_and_empty_cells_are_skipped_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [png(0), b"junk", None, png(3)], [0] * 4)
    source = open_source(path)
    with pytest.warns(DataWarning, match=r"x\.parquet\[[12]\]: no"):
        assert source.read(1).index == 3
    assert source.problems[0] == "x.parquet[1]: not a picture"
    assert source.problems[1].startswith("x.parquet[2]: no bytes")
    with pytest.raises(DataError, match=r"x\.parquet\[1\]: not a picture"):
        open_source(path, strict=True).read(1)


def test_a_cell_without_bytes_points_to_a_file_beside_the_parquet(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(77))
    path = write(tmp_path / "x.parquet", [None], [0])
    assert open_source(path).read(0).image[0, 0, 0] == 77


def test_damaged_foreign_and_empty_files(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [png(0)] * 4, [0] * 4)
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="copy or download it again"):
        open_source(tmp_path / "cut.parquet")
    pq.write_table(pa.table({"words": ["a"]}), tmp_path / "words.parquet")
    with pytest.raises(DataError, match=r"expected a column of images.*got words"):
        open_source(tmp_path / "words.parquet")
    write(tmp_path / "none.parquet", [], [])
    with pytest.raises(DataError, match="got no rows"):
        open_source(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"expected the columns of x\.parquet"):
        ParquetSource([path, write(tmp_path / "y.parquet", [png(0)], [0], column="photo")])


def test_file_written_by_the_datasets_library(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["cat", "dog"]), "photo": datasets.Image()}
    )
    rows = {
        "label": [1, 0],
        "photo": [{"bytes": png(8), "path": None}, {"bytes": png(9), "path": None}],
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet")
    assert source.label_names == ["cat", "dog"]
    assert source.read(0).label == 1 and source.read(1).image[0, 0, 0] == 9


def test_a_source_travels_to_another_process(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.parquet", [png(i) for i in range(4)], [0] * 4))
    source.read(3)
    again = pickle.loads(pickle.dumps(source))
    assert again.read(2).image[0, 0, 0] == 2 and len(again) == 4


PNG = png(9)
LISTED = list(PNG)
TENSOR = pa.ExtensionArray.from_storage(
    pa.fixed_shape_tensor(pa.uint8(), (2, 2)), pa.array([[1, 2, 3, 4]], pa.list_(pa.uint8(), 4))
)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([PNG], pa.large_binary()),
        pa.array([PNG], pa.binary_view()),
        pa.array([PNG], pa.binary(len(PNG))),
        pa.array([PNG, PNG]).dictionary_encode(),
        pa.array([LISTED], pa.list_(pa.uint8())),
        pa.array([{"bytes": PNG}], pa.struct([("bytes", pa.large_binary())])),
        pa.array([{"bytes": LISTED}], pa.struct([("bytes", pa.list_(pa.uint8()))])),
        pa.array([{"path": "a.png", "bytes": PNG}], pa.struct([("path", pa.large_string()),
                                                              ("bytes", pa.binary())])),
        pa.array([{"bytes": PNG, "path": 7}], pa.struct([("bytes", pa.binary()),
                                                        ("path", pa.int64())])),
    ],
    ids=lambda column: str(column.type)[:40],
)  # fmt: skip
def test_bytes_of_every_layout_are_read(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    sample = open_source(tmp_path / "x.parquet").read(0)
    assert sample.image[0, 0, 0] == 9 and sample.path in ("x.parquet[0]", "a.png")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[[1, 2], [3, 4]]], pa.list_(pa.list_(pa.uint8()))),
        pa.array([{"bytes": "text"}]),
        pa.array(["a.png"]),
        pa.array([[1.0, 2.0]]),
        TENSOR,
        pa.nulls(1),
    ],
    ids=lambda column: str(column.type)[:40],
)  # fmt: skip
def test_columns_that_are_no_pictures_are_named_with_their_type(
    tmp_path: Path, column: pa.Array
) -> None:
    pq.write_table(pa.table({"image": column, "label": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"expected a column of images .* image \(.*\), label") as e:
        open_source(tmp_path / "x.parquet")
    assert "\n" not in str(e.value)


def test_metadata_that_lie_are_not_believed(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "n": {"_type": "ClassLabel", "names": "ab"}}
    for about in ({"info": {"features": features}}, {"info": 3}, [], {"info": {"features": [1]}}):
        table = pa.table({"image": ["a.png"], "jpg": [PNG], "n": [1]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
        pq.write_table(table, tmp_path / "x.parquet")
        assert open_source(tmp_path / "x.parquet").read(0).image[0, 0, 0] == 9


def test_cells_without_a_picture_are_skipped(tmp_path: Path) -> None:
    cells = [None, {"bytes": None, "path": "a\0b"}, {"bytes": None, "path": ""}, {"bytes": PNG}]
    pq.write_table(pa.table({"image": pa.array(cells, STRUCT)}), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match="no picture in this row"):
        assert source.read(0).index == 3
    assert len(source.problems) == 3


def test_files_without_rows_and_encrypted_files(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [PNG], [0])
    schema = pq.read_schema(path)
    pq.ParquetWriter(tmp_path / "none.parquet", schema).close()
    with pytest.raises(DataError, match="got no rows"):
        open_source(tmp_path / "none.parquet")
    content = path.read_bytes()
    path.write_bytes(b"PARE" + content[4:-4] + b"PARE")
    with pytest.raises(DataError, match=r"expected a readable parquet file, got .*; copy or down"):
        open_source(path)


def test_many_files_are_opened_one_at_a_time(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    for i in range(60):
        write(tmp_path / f"{i:02}.parquet", [PNG], [i])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, limits[1]))
    try:
        source = open_source(tmp_path)
        assert [source.read(i).label for i in range(60)] == list(range(60))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
