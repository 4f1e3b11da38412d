"""Names of data: samples, splits, and where the evaluation data are."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import default_evaluation, held_out_split, open_source, split_names
from vocabula.data.bundled import TEST_PHOTOS, TRAIN_PHOTOS
from vocabula.errors import DataError


def shard(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("L", (2, 2), value).save(buffer, format="PNG")
    cell = [{"bytes": buffer.getvalue(), "path": None}]
    pq.write_table(pa.table({"image": cell}), path)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)


def test_photographs_are_the_installed_ones_with_the_cat_held_out() -> None:
    train, test = open_source("sample:photos"), open_source("sample:photos/test")
    assert [train.read(i).path for i in range(len(train))] == list(TRAIN_PHOTOS)
    assert [test.read(0).path] == list(TEST_PHOTOS) == ["chelsea.png"]
    assert test.read(0).image.shape == (300, 451, 3)
    shapes = {p: train.read(i).image.shape for i, p in enumerate(TRAIN_PHOTOS)}
    assert shapes["astronaut.png"] == (512, 512, 3) and shapes["rocket.jpg"] == (427, 640, 3)
    assert train.problems == [] and train.channels == 3


def test_the_sample_photographs_are_what_scikit_image_gives() -> None:
    from skimage import data

    source = open_source("sample:photos")
    for name, expected in (("astronaut.png", data.astronaut()), ("coffee.png", data.coffee())):
        np.testing.assert_array_equal(source.read(TRAIN_PHOTOS.index(name)).image, expected)


def test_digits() -> None:
    from sklearn.datasets import load_digits

    train, test = open_source("sample:digits"), open_source("sample:digits/test")
    assert (len(train), len(test), train.channels) == (1500, 297, 1)
    digits = load_digits()
    sample = test.read(0)
    assert sample.label == digits.target[1500] and sample.image.shape == (8, 8, 1)
    np.testing.assert_allclose(sample.image[..., 0] / 255, digits.images[1500] / 16, atol=0.002)
    assert train.gather(np.arange(1500)).max() == 255 and train.label_names[3] == "3"


def test_unknown_samples_name_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'sample:photos'"):
        open_source("sample:photo")
    with pytest.raises(DataError, match="got an unknown sample"):
        open_source("sample:photos/validation")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sample:photos", "sample:photos/test"),
        ("sample:digits/train", "sample:digits/test"),
        ("sample:photos/test", None),
        ("sample:unknown", None),
        ("nowhere/at/all", None),
    ],
)
def test_evaluation_data_of_samples(name: str, expected: str | None) -> None:
    assert default_evaluation(name) == expected


def test_parquet_folder_of_splits_stands_for_its_training_split(tmp_path: Path) -> None:
    for index, name in enumerate(["test", "train-00000-of-00002", "train-00001-of-00002"]):
        shard(tmp_path / "data" / f"{name}.parquet", index)
    source = open_source(tmp_path)
    assert [int(source.read(i).image[0, 0, 0]) for i in range(len(source))] == [1, 2]
    held_out = default_evaluation(tmp_path)
    assert open_source(held_out).read(0).image[0, 0, 0] == 0
    assert default_evaluation(tmp_path / "data" / "train-*.parquet") is None  # test has no shards
    (tmp_path / "data" / "train-00000-of-00002.parquet").unlink()
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    shard(tmp_path / "data" / "validation-0.parquet", 5)
    with pytest.raises(DataError, match=r"got test, validation; choose one"):
        open_source(tmp_path)


def test_picture_folders_of_splits(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "cat" / "a.png")
    picture(tmp_path / "train" / "dog" / "b.png")
    picture(tmp_path / "val" / "cat" / "c.png")
    source = open_source(tmp_path)
    assert source.label_names == ["cat", "dog"] and len(source) == 2
    for data in (tmp_path, tmp_path / "train"):
        assert default_evaluation(data) == str(tmp_path / "val")


def test_only_data_with_several_splits_have_splits(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        picture(tmp_path / "pictures" / split / "a.png")
        shard(tmp_path / "shards" / f"{split}-0.parquet", 0)
        shard(tmp_path / "shards" / f"{split}-1.parquet", 0)
    assert held_out_split("sample:photos") == "sample:photos/test"
    assert held_out_split(tmp_path / "pictures") == str(tmp_path / "pictures" / "test")
    assert split_names(tmp_path / "shards") == {
        split: str(tmp_path / "shards" / f"{split}*.parquet")
        for split in ("train", "validation", "test")
    }
    named = ("sample:photos/train", "sample:none", "shards/train-*.parquet", "pictures/train", "no")
    for name in named:
        data = name if name.startswith("sample:") else tmp_path / name
        assert (held_out_split(data), split_names(data)) == (None, {})


def test_a_split_alone_is_no_class(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    assert open_source(tmp_path).label_names is None
    assert split_names(tmp_path) == {"train": str(tmp_path / "train")}
    assert default_evaluation(tmp_path) is None


def test_file_beside(tmp_path: Path) -> None:
    shard(tmp_path / "train.parquet", 0)
    assert default_evaluation(tmp_path / "train.parquet") is None
    shard(tmp_path / "test.parquet", 1)
    assert default_evaluation(tmp_path / "train.parquet") == str(tmp_path / "test.parquet")


def test_pictures_beside_a_table_are_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shard(tmp_path / "metadata.parquet", 0)
    with pytest.warns(UserWarning, match="metadata.parquet: not a picture by its name"):
        assert open_source(tmp_path).read(0).path == "a.png"


def test_value_range_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="leave it out"):
        open_source(tmp_path, value_range=(0, 1))


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.png", "x", "shards"])
def test_pipes_are_not_waited_for(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "shards":
        place.mkdir()
        place /= "train.parquet"
    os.mkfifo(place)
    with pytest.raises(DataError, match=r"got a pipe; copy it to a file first|got only .*a pipe"):
        open_source(tmp_path / name)
