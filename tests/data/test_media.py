"""Files of decoded signals: arrays and tables, complete or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from vocabula.data import open_vectors
from vocabula.data.media import MEDIA
from vocabula.data.media.table import ArrayFile
from vocabula.errors import DataError, OptionError, OutputError

ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
KEYS = [f"row{i}" for i in range(7)]


def _batches(keys: list[str]) -> list[tuple[torch.Tensor, list[str]]]:
    x = torch.from_numpy(ROWS)
    return [(x[:4], keys[:4]), (x[4:], keys[4:])]


@pytest.mark.parametrize("name", ["a.npy", "a.parquet"])
def test_vectors_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    files = MEDIA.of("vector")(3, "decode").write(out, _batches(KEYS), 7, overwrite=False)
    assert files == [out]
    source = open_vectors(out)
    assert np.array_equal(source.gather(slice(None)), ROWS)
    assert source.keys == (KEYS if name.endswith("parquet") else None)


def test_rows_without_keys_have_no_column_of_keys(tmp_path: Path) -> None:
    numbers = [f"[{i}]" for i in range(7)]
    ArrayFile(3, "decode").write(tmp_path / "a.parquet", _batches(numbers), 7, overwrite=False)
    assert pq.read_schema(tmp_path / "a.parquet").names == ["vectors"]


def test_signals_with_axes_keep_their_shape(tmp_path: Path) -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    ArrayFile(3, "decode").write(tmp_path / "a.npy", [(x, ["", ""])], 2, overwrite=False)
    assert np.array_equal(np.load(tmp_path / "a.npy"), x.numpy())


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    media, out = ArrayFile(3, "decode"), tmp_path / "a.npy"
    with pytest.raises(OptionError, match=r"ends in \.npy or \.parquet, got \.txt"):
        media.check(tmp_path / "a.txt", overwrite=False)
    with pytest.raises(DataError, match="expected signals of one size"):
        uneven = [(torch.zeros(1, 3, 4), [""]), (torch.zeros(1, 3, 5), [""])]
        media.write(out, uneven, 2, overwrite=False)
    with pytest.raises(DataError, match="expected 9 signals, got 7"):
        media.write(out, _batches(KEYS), 9, overwrite=False)
    assert not list(tmp_path.iterdir())
    media.write(out, _batches(KEYS), 7, overwrite=False)
    with pytest.raises(OutputError, match="--overwrite"):
        media.write(out, _batches(KEYS), 7, overwrite=False)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet"])
def test_the_number_of_signals_may_be_known_at_the_end(name: str, tmp_path: Path) -> None:
    ArrayFile(3, "sample").write(tmp_path / name, iter(_batches(KEYS)), None, overwrite=False)
    assert np.array_equal(open_vectors(tmp_path / name).gather(slice(None)), ROWS)
    if name == "a.npy":
        assert np.array_equal(np.load(tmp_path / name), ROWS)
