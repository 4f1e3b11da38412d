"""A folder of pictures, good ones and others."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.data import DataWarning, FolderSource, open_source
from vocabula.errors import DataError


def save(path: Path, value: int, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    color = value if mode == "L" else (value,) * len(mode)
    Image.new(mode, size[::-1], color).save(path)


def cut(path: Path) -> None:
    """A picture whose header is good and whose body ends early."""
    noise = np.random.randint(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:900])


def test_classes_are_the_sorted_sub_folders(tmp_path: Path) -> None:
    save(tmp_path / "zebra" / "deep" / "a.png", 10)
    save(tmp_path / "ant" / "b.JPG", 20, size=(7, 9))
    source = open_source(tmp_path)
    assert source.label_names == ["ant", "zebra"]
    samples = [source.read(i) for i in range(len(source))]
    assert [(s.label, s.path) for s in samples] == [(0, "ant/b.JPG"), (1, "zebra/deep/a.png")]
    assert [s.image.shape for s in samples] == [(7, 9, 3), (6, 5, 3)]
    assert source.smallest() == (6, 5)
    assert samples[1].image.dtype == np.uint8 and (samples[1].image == 10).all()


def test_pictures_in_the_folder_itself_have_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "sub" / "b.png", 2)
    source = open_source(tmp_path)
    assert source.label_names is None and source.read(0).label is None


def test_grey_pictures_make_one_channel_and_colour_wins(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 100, mode="L")
    assert open_source(tmp_path).channels == 1
    assert open_source(tmp_path, channels=3).read(0).image.shape == (6, 5, 3)
    save(tmp_path / "b.png", 100)
    source = open_source(tmp_path)
    assert source.channels == 3 and source.read(0).image.shape == (6, 5, 3)
    with pytest.raises(DataError, match="of 2 channels, got 3"):
        open_source(tmp_path, channels=2)


def test_other_files_are_named_counted_and_skipped(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b.png", 2)
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("words")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / ".DS_Store").write_text("hidden files do not count")
    with pytest.warns(DataWarning, match="skipped 3 of 4 files: b.png: not a picture") as caught:
        source = open_source(tmp_path)
    assert len(caught) == 1 and len(source) == 1
    assert [problem.split(":")[0] for problem in source.problems] == ["b.png", "c.jpg", "notes.txt"]
    with pytest.raises(DataError, match=r"3 of 4 files.*b\.png.*strict"):
        open_source(tmp_path, strict=True)


def test_a_broken_body_gives_way_to_the_next_readable_picture(tmp_path: Path) -> None:
    for name, value in (("a.png", 1), ("d.png", 4)):
        save(tmp_path / name, value)
    cut(tmp_path / "b.jpg")
    cut(tmp_path / "c.jpg")
    source = open_source(tmp_path)
    assert len(source) == 4 and source.problems == []
    with pytest.warns(DataWarning, match=r"[bc]\.jpg"):
        sample = source.read(1)
    assert (sample.index, sample.path) == (3, "d.png") and (sample.image == 4).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source.read(2).index == 3  # known by now: no second warning
    assert len(source.problems) == 2
    with pytest.raises(DataError, match=r"b\.jpg.*truncated"):
        open_source(tmp_path, strict=True).read(1)


def test_evaluation_leaves_broken_pictures_out(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    cut(tmp_path / "b.jpg")
    save(tmp_path / "c.png", 3)
    with pytest.warns(DataWarning):
        batches = list(open_source(tmp_path).batches(batch_size=4))
    assert [batch.indices.tolist() for batch in batches] == [[0, 2]]


def test_only_broken_pictures(tmp_path: Path) -> None:
    cut(tmp_path / "a.jpg")
    source = open_source(tmp_path)
    with pytest.warns(DataWarning), pytest.raises(DataError, match="got 1 broken"):
        source.read(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "got nothing at that place; check the path"),
        (lambda root: root.mkdir(), "got an empty folder; give a folder"),
        (lambda root: (root.mkdir(), (root / "a.txt").write_text("")), "got only a.txt"),
        (lambda root: root.write_text("x"), "got a file ending in ''"),
    ],
)
def test_missing_empty_and_foreign_folders(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(DataError, match=re.escape(message)):
        open_source(tmp_path / "data")


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", 1)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root
    with pytest.raises(DataError, match="no permission; check its rights"):
        open_source(tmp_path)


def test_unreadable_folder_found_while_walking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        FolderSource(tmp_path)


def test_one_picture_is_data_too(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 7)
    save(tmp_path / "b.png", 8)
    source = open_source(tmp_path / "b.png")
    assert len(source) == 1 and source.read(0).path == "b.png"


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    save(tmp_path / "real" / "a.png", 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "class").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "data")
    assert len(open_source(tmp_path / "data")) == 1


def test_index_out_of_range(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 7)
    with pytest.raises(IndexError):
        open_source(tmp_path).read(1)


def test_colour_pictures_become_grey_with_a_word(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    with pytest.warns(DataWarning, match="as grey, for a model of 1 channel"):
        source = open_source(tmp_path, channels=1)
    np.testing.assert_array_equal(source.read(0).image, np.full((8, 8, 1), 76))  # 0.299 * 255
