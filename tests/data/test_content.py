"""Hashes of what data hold: equal for copies, different for other data of the same number."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import FolderSource, ImageSource, Sample, open_source
from vocabula.data import content as contents
from vocabula.data.content import content_of_array, content_of_files


def folder(root: Path, values: list[int], suffix: str = ".bmp") -> Path:
    root.mkdir()
    for i, value in enumerate(values):
        Image.new("RGB", (6, 5), (value, 0, 0)).save(root / f"{i}{suffix}")
    return root


def test_a_copy_has_the_same_content_under_whatever_names(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", [1, 2, 3])
    shutil.copytree(first, tmp_path / "b")
    for file in (tmp_path / "b").iterdir():
        os.utime(file, (0, 0))
        file.rename(file.with_name(f"x{file.name}"))
    assert open_source(first).content() == open_source(tmp_path / "b").content()
    pictures = pa.array([file.read_bytes() for file in sorted(first.iterdir())])
    pq.write_table(pa.table({"image": pictures}), tmp_path / "a.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert (
        open_source(tmp_path / "a.parquet").content()
        == open_source(tmp_path / "b.parquet").content()
    )


def test_other_pictures_of_the_same_number_and_size_have_another(tmp_path: Path) -> None:
    """Uncompressed pictures: every file has the same number of bytes."""
    values = [[1, 2, 3], [1, 2, 4], [2, 1, 3], [1, 2]]
    found = {open_source(folder(tmp_path / str(i), v)).content() for i, v in enumerate(values)}
    assert len(found) == 4


def test_arrays_differ_by_value_shape_and_type(tmp_path: Path) -> None:
    one = np.arange(2 * 6 * 5, dtype=np.uint8).reshape(2, 6, 5)
    other = one.copy()
    other[-1, -1, -1] += 1
    for array in (one, other, one.reshape(2, 5, 6), one.astype(np.float32) / 255):
        assert (content_of_array(array) == content_of_array(one)) == (array is one)
    np.save(tmp_path / "x.npy", one)
    assert open_source(tmp_path / "x.npy").content() == content_of_array(one[..., None])


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_BYTES", 2**14)
    read: list[int] = []
    original = contents._sample
    monkeypatch.setattr(
        contents, "_sample", lambda f, n: read.append(len(original(f, n))) or original(f, n)
    )
    files = []
    for i in range(4):
        files.append(tmp_path / f"{i}.bin")
        files[-1].write_bytes(bytes([i]) * 100_000)
    before = content_of_files(files)
    assert sum(read) <= 2**14 and len(read) == 4
    files[2].write_bytes(b"\2" * 99_999 + b"\3")  # at the end, which is a part of the sample
    assert content_of_files(files) != before
    array = np.zeros((1000, 100), np.uint8)
    array[-1, -1] = 1
    assert content_of_array(array) != content_of_array(np.zeros_like(array))


def test_sources_of_any_kind_have_a_content() -> None:
    class Own(ImageSource):
        def __init__(self, value: int) -> None:
            super().__init__("own", 1)
            self.value = value

        def __len__(self) -> int:
            return 40

        def _read(self, index: int) -> Sample:
            return Sample(np.full((2, 2, 1), self.value, np.uint8), None, str(index), index)

        def describe(self, index: int) -> str:
            return str(index)

        def pixels(self, index: int) -> int:
            return 4

    assert Own(1).content() == Own(1).content() != Own(2).content()


def test_files_that_have_gone_are_told_in_one_line(tmp_path: Path) -> None:
    source = FolderSource(folder(tmp_path / "a", [1, 2]))
    (tmp_path / "a" / "1.bmp").unlink()
    with pytest.raises(Exception, match="expected a readable file, got nothing"):
        source.content()
