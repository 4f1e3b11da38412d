"""Data sets in Hugging Face's layout: folders, and a cache without a connection."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.recordings import RATE, wav
from tests.data.tars import png, tar

from vocabula.data import (
    default_evaluation,
    held_out_split,
    open_audio,
    open_source,
    open_vectors,
    split_names,
)
from vocabula.data.captions import read_captions
from vocabula.data.hub_data import hub_files
from vocabula.data.places import lasting_name
from vocabula.errors import DataError


def table(path: Path, first: int, count: int, **features: object) -> Path:
    """Pictures of the values first, first + 1, ... with class labels, in row groups of two."""
    values = range(first, first + count)
    kinds = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "image": {"_type": "Image"}}
    rows = pa.table(
        {
            "image": [{"bytes": png(value), "path": f"{value}.png"} for value in values],
            "label": [value % 2 for value in values],
            "caption": [f"grey {value}" for value in values],
        },
        metadata={"huggingface": json.dumps({"info": {"features": kinds}})},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, row_group_size=2)
    return path


CARD = """---
license: mit
configs:
- config_name: small
  default: true
  data_files:
  - split: train
    path: small/train-*
  - split: test
    path: [small/test-*]
- config_name: large
  data_dir: large
- config_name: flat
  data_files: "**/test-*.parquet"
---
# Pictures
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    table(root / "small/train-00000-of-00002.parquet", 0, 3)
    table(root / "small/train-00001-of-00002.parquet", 3, 3)
    table(root / "small/test-00000-of-00001.parquet", 6, 2)
    table(root / "large/train.parquet", 10, 5)
    table(root / "large/valid.parquet", 20, 1)
    (root / "README.md").write_text(CARD)
    (root / "pictures.py").write_text("raise SystemExit('never run')")
    return root


def values(name: str) -> list[int]:
    source = open_source(name, channels=3)
    return [int(source.read(index).image[0, 0, 0]) for index in range(len(source))]


def test_configurations_and_splits_of_a_card(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.parent)
    assert values("hf:./pictures:train") == values("hf:pictures") == [0, 1, 2, 3, 4, 5]
    assert values(f"hf:{repository}:test") == values("hf:./pictures/small:test") == [6, 7]
    assert values("hf:./pictures/large:train") == [10, 11, 12, 13, 14]
    assert values("hf:./pictures/large:validation") == values("hf:pictures/large:val") == [20]
    assert values("hf:./pictures/flat") == [6, 7]
    source = open_source("hf:./pictures:train")
    assert source.label_names == ["cat", "dog"] and source.read(3).label == 1
    assert source.name == "hf:./pictures:train" and source.path(4) == "4.png"
    pieces = [(Path(p.path).name[:11], p.first, p.count) for p in source.pieces()]
    first, second = "train-00000", "train-00001"
    assert pieces == [(first, 0, 2), (first, 2, 1), (second, 0, 2), (second, 2, 1)]
    assert split_names("hf:./pictures") == {
        "train": "hf:./pictures:train",
        "test": "hf:./pictures:test",
    }
    assert held_out_split("hf:pictures/large") == "hf:pictures/large:validation"
    assert default_evaluation("hf:./pictures:train") == "hf:./pictures:test"
    assert default_evaluation("hf:./pictures") == "hf:./pictures:test"
    assert lasting_name("hf:./pictures:test") == f"hf:{repository}:test"
    assert lasting_name("hf:user/pictures:test") == "hf:user/pictures:test"
    texts = read_captions("hf:./pictures:test", ["7.png", "0.png"])
    assert texts == [("grey 7",), ()]
    with pytest.raises(DataError, match=r"expected a column 'words'.*got the columns image, label"):
        read_captions("hf:./pictures:test", ["7.png"], column="words")


def test_layouts_without_a_card(tmp_path: Path) -> None:
    table(tmp_path / "a/data/train-0.parquet", 0, 2)
    table(tmp_path / "a/data/validation-0.parquet", 2, 1)
    assert values(f"hf:{tmp_path}/a:train") == [0, 1]
    assert values(f"hf:{tmp_path}/a:validation") == [2]
    for split, name, value in (("train", "cat", 1), ("train", "dog", 2), ("test", "cat", 3)):
        place = tmp_path / "b" / split / name / "1.png"
        place.parent.mkdir(parents=True)
        place.write_bytes(png(value))
    source = open_source(f"hf:{tmp_path}/b:train")
    assert source.label_names == ["cat", "dog"] and values(f"hf:{tmp_path}/b:train") == [1, 2]
    assert source.root == tmp_path / "b/train"
    tar(tmp_path / "c/train.tar", {"1.png": png(5), "1.cls": "0"})
    assert values(f"hf:{tmp_path}/c") == [5]
    (tmp_path / "b/README.md").write_text(
        "---\nconfigs:\n- config_name: cats\n  data_files:\n    train: '*/cat/*'\n---\n"
    )
    assert values(f"hf:{tmp_path}/b/cats") == [3, 1]


def test_recordings_and_vectors(tmp_path: Path) -> None:
    rows = {"audio": [{"bytes": wav(9), "path": "a.wav"}] * 4, "speaker": ["x", "y"] * 2}
    kind = {"info": {"features": {"audio": {"_type": "Audio"}}}}
    found = pa.table(rows, metadata={"huggingface": json.dumps(kind)})
    for split in ("train", "test"):
        pq.write_table(found, tmp_path / f"{split}.parquet")
    source = open_audio(f"hf:{tmp_path}:test", sample_rate=RATE)
    assert len(source) == 4 and source.names["speaker"] == ("x", "y")
    with pytest.raises(DataError, match=r"a column of images.*recordings are for"):
        open_source(f"hf:{tmp_path}:test")
    for number in range(2):
        rows = {"x": [[1.0, 2.0]], "label": [number]}
        (tmp_path / "v").mkdir(exist_ok=True)
        pq.write_table(pa.table(rows), tmp_path / f"v/train-{number}.parquet")
    vectors = open_vectors(f"hf:{tmp_path}/v:train")
    assert (len(vectors), vectors.channels) == (2, 2)


def test_the_cache_without_a_connection(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, commit = tmp_path / "cache", "0123456789" * 4
    place = cache / "datasets--user--pictures"
    shutil.copytree(repository, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert values("hf:user/pictures:train") == [0, 1, 2, 3, 4, 5]
    assert values("hf:user/pictures/large:validation") == [20]
    assert split_names("hf:user/pictures")["test"] == "hf:user/pictures:test"
    with pytest.raises(DataError, match=r"got no connection and nothing in .*/cache; check"):
        open_source("hf:user/unknown:train")
    shutil.rmtree(place / "snapshots" / commit / "small")
    with pytest.raises(DataError, match=r"got no connection and nothing in .*/cache; check"):
        open_source("hf:user/pictures:train")


def test_wrong_names_are_one_line(repository: Path) -> None:
    wrong = {
        f"hf:{repository}:dev": "the splits train, test, got 'dev'; name it, as in hf:.*:train",
        f"hf:{repository}/huge:train": "one of the configurations small, large, flat, got 'huge'",
        f"hf:{repository}:train[:10%]": r"got the split 'train\[:10%\]'|got the split '10%\]'",
        f"hf:{repository}/no/such:train": "expected a folder, got nothing at",
        "hf::train": "got no name",
        "hf:a/b/c/d:train": "no folder there",
        "hf:a b/c:train": "got no such name",
    }
    for name, message in wrong.items():
        with pytest.raises(DataError, match=message) as error:
            open_source(name)
        assert "\n" not in str(error.value)
    (repository / "README.md").write_text("---\nconfigs: [{data_files: [{split: train}]}]\n---\n")
    with pytest.raises(DataError, match=r"expected configs in README\.md that name their files"):
        hub_files(f"hf:{repository}")
    (repository / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(DataError, match="expected YAML between two lines"):
        hub_files(f"hf:{repository}")
    (repository / "README.md").write_text("---\nconfigs: [{data_files: '*.py*'}]\n---\n")
    (repository / "x.pyd").write_bytes(pickle.dumps("never opened"))
    with pytest.raises(DataError, match=r"got \.py, \.pyd; convert .*scripts .* are never run"):
        hub_files(f"hf:{repository}")
