"""Pictures, recordings, labels and captions in tars laid out as WebDataset does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.data.recordings import RATE, steps, wav
from tests.data.tars import png, tar

from vocabula.data import DataWarning, open_audio, open_source, open_vectors, split_names
from vocabula.data.captions import read_captions
from vocabula.errors import DataError


def pictures(path: Path, first: int, count: int = 3) -> Path:
    """Pictures of the values first, first + 1, ... with their classes and captions."""
    members: dict[str, bytes | str] = {}
    for value in range(first, first + count):
        members[f"{value:03}.png"] = png(value)
        members[f"{value:03}.cls"] = f"{value % 2}\n"
        members[f"{value:03}.txt"] = f"grey {value}\nalso {value}"
    return tar(path, members)


def test_a_tar_a_folder_and_patterns_are_the_same_pictures(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    for number in range(3):
        pictures(shards / f"{number:02}.tar", 3 * number)
    for data in (shards, shards / "{00..02}.tar", shards / "*.tar", f"{shards}/{{00,01,02}}.tar"):
        source = open_source(data, channels=3)
        assert len(source) == 9 and source.describe(4) == "01.tar/004.png"
        samples = [pickle.loads(pickle.dumps(source)).read(index) for index in (8, 0, 4)]
        assert [int(s.image[0, 0, 0]) for s in samples] == [8, 0, 4]
        assert [(s.label, s.path) for s in samples] == [
            (0, "008.png"),
            (0, "000.png"),
            (0, "004.png"),
        ]
        assert source.stored_attributes()["class"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert len(open_source(shards / "01.tar")) == 3
    assert read_captions(shards, ["007.png", "x.png"]) == [("grey 7", "also 7"), ()]
    (shards / "01.tar").unlink()
    with pytest.raises(DataError, match=r"expected 3 files, got none at .*01\.tar; bring it back"):
        open_source(shards / "{00..02}.tar")


def test_splits_by_the_names_of_tars(tmp_path: Path) -> None:
    pictures(tmp_path / "set-train-0000.tar", 0)
    pictures(tmp_path / "set-train-0001.tar", 3)
    pictures(tmp_path / "set-val-0000.tar", 6)
    assert len(open_source(tmp_path)) == 6
    assert len(open_source(split_names(tmp_path)["val"])) == 3
    assert len(open_source(split_names(tmp_path)["train"])) == 6


def test_what_is_no_picture_is_left_alone(tmp_path: Path) -> None:
    members = {
        "a.pyd": pickle.dumps("never opened"),
        "a.png": png(1),
        "a.mask.png": png(9),
        "b.1.png": png(2),
        "b.2.png": png(3),
        "../../c.png": png(4),
        "d.pth": b"\x80\x04.",
        "e.jpg": b"no picture",
        "f.png": png(5),
    }
    path = tar(tmp_path / "a.tar", members)
    warned = r"skipped 2 of 7 files: a\.tar/b\.2\.png: another picture of key b, a\.tar/d: no pic"
    with pytest.warns(DataWarning, match=warned):
        source = open_source(path)
    with pytest.warns(DataWarning, match=r"a\.tar/e\.jpg: not a picture"):
        values = [int(s.image[0, 0, 0]) for s in source.samples()]
    assert values == [1, 2, 4, 5] and source.label_names is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]
    with pytest.raises(DataError, match="expected only readable images, got 2 of 7 files"):
        open_source(path, strict=True)


def test_classes_by_json_by_name_and_by_folder(tmp_path: Path) -> None:
    fields = [{"label": "cat", "n": 1}, {"label": "ant"}, {"url": "x"}, [1]]
    members: dict[str, bytes | str] = {}
    for number, own in enumerate(fields):
        members |= {f"{number}.png": png(number), f"{number}.json": json.dumps(own)}
    with pytest.warns(DataWarning, match=r"labels are unknown: a\.tar/3\.json: no JSON"):
        source = open_source(tar(tmp_path / "a.tar", members))
    assert source.label_names == ["ant", "cat"]
    assert source.stored_attributes()["class"].tolist() == [1, 0, -1, -1]
    named = open_source(tar(tmp_path / "b.tar", {"1.png": png(1), "1.cls": "dog"}))
    assert named.label_names == ["dog"] and named.read(0).label == 0
    folders = {"./cats/1.png": png(1), "./cats/2.png": png(1), "./ants/1.png": png(2)}
    source = open_source(tar(tmp_path / "c.tar", folders))
    assert source.label_names == ["ants", "cats"] and source.read(2).label == 0
    alone = open_source(tar(tmp_path / "d.tar", {"x/1.png": png(1, mode="L")}))
    assert alone.label_names is None and alone.channels == 1


def test_recordings_with_attributes(tmp_path: Path) -> None:
    for shard in range(2):
        members: dict[str, bytes | str] = {}
        for number in range(4 * shard, 4 * shard + 4):
            members[f"{number}.wav"] = wav(10 + number)
            about = {"speaker": "ab"[number % 2], "id": number, "loud": 0.5, "take": number}
            members[f"{number}.json"] = json.dumps(about)
        tar(tmp_path / f"{shard}.tar", members)
    source = open_audio(tmp_path, sample_rate=RATE)
    assert source.names == {"class": (), "speaker": ("a", "b")}
    assert source.attributes(np.arange(8))["speaker"].tolist() == [0, 1] * 4
    np.testing.assert_array_equal(source.read_whole(5)[0], steps(15))
    named = open_audio(tmp_path / "1.tar", sample_rate=RATE, labels="{digit}")
    assert named.attribute_values() == {"digit": 4}


def test_captions_of_other_layouts(tmp_path: Path) -> None:
    members = {"1.json": json.dumps({"caption": ["one", " "], "note": "uno"}), "2.caption": "two"}
    path = tar(tmp_path / "a.tar", members)
    assert read_captions(path, ["1.jpg", "2.jpg"]) == [("one",), ("two",)]
    assert read_captions(path, ["1.jpg"], column="note") == [("uno",)]
    with pytest.raises(DataError, match=r"expected captions of the 1 signals.*got none"):
        read_captions(path, ["1.jpg"], column="unknown")
    with pytest.raises(DataError, match=r"text in UTF-8 in member 1\.txt"):
        read_captions(tar(tmp_path / "b.tar", {"1.txt": b"\xff\xfe"}), ["1.jpg"])


def test_tars_of_other_things_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"1.wav": wav(9), "1.cls": "3"})
    with pytest.raises(DataError, match=r"members that end in \.wav, \.cls; recordings are for"):
        open_source(path)
    pictures(tmp_path / "b.tar", 0)
    with pytest.raises(DataError, match=r"expected recordings .*\.png, .*; pictures are for"):
        open_audio(tmp_path / "b.tar", sample_rate=RATE)
    with pytest.raises(DataError, match="got no members with a name and an ending"):
        open_source(tar(tmp_path / "c.tar", {}))
    with pytest.raises(DataError, match=r"expected vectors in .*got a file ending in '\.tar'"):
        open_vectors(path)
    (tmp_path / "d.tar.gz").write_bytes(b"\x1f\x8b")
    for opened in (open_source, lambda name: open_audio(name, sample_rate=RATE)):
        with pytest.raises(DataError, match="unpack it"):
            opened(tmp_path / "d.tar.gz")
    with pytest.raises(DataError, match=r"at most 1,000,000 (files|numbers), got"):
        open_source(tmp_path / "{0..9999999}.tar")
    (tmp_path / "e.parquet").touch()
    with pytest.raises(DataError, match=r"files of one kind, got \.parquet and \.tar"):
        open_source(tmp_path / "*")
