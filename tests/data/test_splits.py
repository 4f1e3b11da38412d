"""Which folders are splits, which one is read, and where the answer is unclear."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image

from vocabula.data import DataWarning, default_evaluation, held_out_split, open_source, split_names
from vocabula.data.splits import find_splits, split_names_among
from vocabula.errors import DataError


def lay_out(root: Path, *files: str) -> Path:
    """Pictures, and small files of other kinds, at these places."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            Image.new("RGB", (4, 4)).save(path)
        else:
            path.write_text("{}")
    return root


def paths(source: object) -> list[str]:
    return [source.describe(i) for i in range(len(source))]


@pytest.mark.parametrize(
    ("files", "train", "held_out"),
    [
        (["train/a.png", "test/b.png"], "train", "test"),
        (["train/a.png", "test/b.png", "__MACOSX/train/._a.png"], "train", "test"),
        (["train/a.png", "val/b.png", "annotations/a.json"], "train", "val"),
        (["train/a.png", "val/b.png", "annotations/train/a.png"], "train", "val"),
        (["train/a.png", "test/b.png", ".git/c.png", "notes.txt", "preview.png"], "train", "test"),
        (["Train/a.png", "Test/b.png"], "Train", "Test"),
        (["TRAIN/a.png", "VALID/b.png"], "TRAIN", "VALID"),
        (["training/a.png", "testing/b.png"], "training", "testing"),
        (["train2017/a.png", "val2017/b.png"], "train2017", "val2017"),
        (["train_images/a.png", "test_images/b.png"], "train_images", "test_images"),
        (["seg_train/a.png", "seg_test/b.png"], "seg_train", "seg_test"),
        (["train-clean/a.png", "dev-clean/b.png"], "train-clean", "dev-clean"),
        (["train/a.png", "val/b.png", "test/c.png"], "train", "test"),
        (["train/a.png", "eval/b.png"], "train", "eval"),
        (["images/train/a.png", "images/val/b.png", "labels/train/a.txt"], "images/train",
         "images/val"),
        (["x/y/train/a.png", "x/y/test/b.png"], "x/y/train", "x/y/test"),
        (["train/a.png", "test/a.json"], "train", None),
    ],
)  # fmt: skip
def test_training_takes_the_training_split(
    tmp_path: Path, files: list[str], train: str, held_out: str | None
) -> None:
    lay_out(tmp_path, *files)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = open_source(tmp_path)
    assert source.name == str(tmp_path / train) and paths(source) == ["a.png"]
    assert source.label_names is None  # a split is no class
    assert held_out_split(tmp_path) == (None if held_out is None else str(tmp_path / held_out))
    if held_out is not None:
        assert default_evaluation(tmp_path / train) == str(tmp_path / held_out)


def test_classes_lie_in_the_split(tmp_path: Path) -> None:
    lay_out(tmp_path, "Train/cat/a.png", "Train/dog/b.png", "Test/cat/c.png", "__MACOSX/Test/d.png")
    source = open_source(tmp_path)
    assert source.label_names == ["cat", "dog"] and len(source) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a.png", "test/b.png", "extra/c.png"], "got test, train, extra; name the one"),
        (["trainA/a.png", "trainB/b.png", "testA/c.png"], r"trainA.*trainB.*as in .*train"),
        (["train/a.png", "Train2/b.png", "test/c.png"], "name the one to read"),
        (["test/a.png", "val/b.png"], "expected a training split, got test, val; name the one"),
        (["train/a.png", "extra/b.png"], "got train, extra; name the one to read, as in .*train"),
        (["test/a.png", "b.png"], "got test, files of its own"),
        (["train2017/a.png", "cat/b.png", "dog/c.png"], "got train2017, cat, dog"),
        (["cat/a.png", "dog/b.png", "test/cat/c.png"], "got test, cat, dog"),
        (["bottle/train/a.png", "bottle/test/b.png", "cable/train/c.png"], "got bottle/test, bott"),
    ],
)
def test_what_is_unclear_is_asked(tmp_path: Path, files: list[str], message: str) -> None:
    lay_out(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["cat/a.png", "dog/b.png"], ["cat", "dog"]),
        (["car/a.png", "bus/b.png", "train/c.png"], ["bus", "car", "train"]),
        (["bullet_train/a.png", "test_tube/b.png", "car/c.png"],
         ["bullet_train", "car", "test_tube"]),
        (["valley/a.png", "device/b.png"], ["device", "valley"]),
    ],
)  # fmt: skip
def test_classes_that_sound_like_splits_stay_classes(
    tmp_path: Path, files: list[str], names: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_source(lay_out(tmp_path, *files)).label_names == names


def test_a_class_that_may_be_a_held_out_split_is_said(tmp_path: Path) -> None:
    lay_out(tmp_path, "cat/a.png", "dog/b.png", "test/c.png")
    with pytest.warns(DataWarning, match="taking test for one of 3 classes; if it is a split"):
        assert open_source(tmp_path).label_names == ["cat", "dog", "test"]


def test_one_split_alone_is_read(tmp_path: Path) -> None:
    lay_out(tmp_path, "test/cat/a.png", "test/dog/b.png")
    assert open_source(tmp_path).label_names == ["cat", "dog"]
    assert split_names(tmp_path) == {"test": str(tmp_path / "test")}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    lay_out(tmp_path, "x/notes.txt")
    (tmp_path / "x" / "back").symlink_to(tmp_path)
    assert find_splits(tmp_path).folders == {}


def test_names_of_shards() -> None:
    names = ["cifar10-train.parquet", "cifar10-test.parquet", "other.parquet"]
    assert split_names_among(names) == {names[0]: "train", names[1]: "test"}
    assert split_names_among(["train-clean-0.parquet", "x.parquet"], by_start=True) == {
        "train-clean-0.parquet": "train"
    }
    assert split_names_among(["Train-00000-of-00002.parquet", "Validation-00000-of-00001.parquet"])
    assert split_names_among(["trainer", "testament", "validate_train_test"]) == {}
