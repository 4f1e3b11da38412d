from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.recordings import RATE, save, steps, wav

from vocabula.data import DataWarning, open_audio, open_source
from vocabula.errors import DataError


def table(count: int = 8, **more: list) -> pa.Table:  # type: ignore[type-arg]
    rows = [{"bytes": wav(10 + i), "path": f"{i}.wav"} for i in range(count)]
    return pa.table({"audio": rows, **more})


def test_rows_are_recordings_with_attributes(tmp_path: Path) -> None:
    speakers = ["ben", "anna"] * 4
    columns = {
        "speaker": speakers,
        "label": [3, 1] * 4,
        "uid": [f"u{i}" for i in range(8)],
        "duration": [1, 2] * 4,
        "loud": [0.5] * 8,
    }
    pq.write_table(table(**columns), tmp_path / "x.parquet", row_group_size=3)
    source = open_audio(tmp_path / "x.parquet", sample_rate=RATE)
    assert source.names == {"class": (), "speaker": ("anna", "ben")}
    assert source.attribute_values() == {"class": 4, "speaker": 2}
    batch = next(source.batches())
    assert batch.paths == [f"{i}.wav" for i in range(8)] and batch.labels.tolist() == [3, 1] * 4
    assert batch.attributes["speaker"].tolist() == [1, 0] * 4
    np.testing.assert_array_equal(source.read_whole(5)[0], steps(15))
    named = open_audio(tmp_path / "x.parquet", sample_rate=RATE, labels="{take}")
    assert list(named.attribute_values()) == ["take"]


def test_class_labels_keep_their_names(tmp_path: Path) -> None:
    features = {
        "audio": {"_type": "Audio"},
        "word": {"_type": "ClassLabel", "names": ["no", "yes"]},
    }
    found = table(word=[1] * 8)
    stored = {b"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(found.replace_schema_metadata(stored), tmp_path / "x.parquet")
    source = open_audio(tmp_path, sample_rate=RATE)
    assert source.names["word"] == ("no", "yes") and source.attribute_values() == {"word": 2}
    with pytest.raises(DataError, match=r"expected a column of images.*recordings are for"):
        open_source(tmp_path / "x.parquet")


def test_files_beside_the_table_and_numbers_in_it(tmp_path: Path) -> None:
    save(tmp_path / "clips" / "a.wav", steps(9))
    rows = [{"bytes": None, "path": "clips/a.wav"}, {"bytes": None, "path": "lost.wav"}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"audio": pa.array(rows, kind)}), tmp_path / "x.parquet")
    source = open_audio(tmp_path / "x.parquet", sample_rate=RATE)
    np.testing.assert_array_equal(source.read_whole(0)[0], steps(9))
    with pytest.warns(DataWarning, match=r"2 of 3 .* lost\.wav: no bytes .*x\.parquet\[2\]"):
        assert [len(batch) for batch in source.batches()] == [1]
    numbers = [{"array": steps(6).tolist(), "sampling_rate": RATE // 2, "path": None}]
    pq.write_table(pa.table({"audio": numbers}), tmp_path / "y.parquet")
    assert open_audio(tmp_path / "y.parquet", sample_rate=RATE).read_whole(0).shape == (1, 12)


def test_shards_follow_each_other_and_must_be_alike(tmp_path: Path) -> None:
    pq.write_table(table(2, speaker=["b", "b"]), tmp_path / "train-0.parquet")
    pq.write_table(table(2, speaker=["a", "a"]), tmp_path / "train-1.parquet")
    source = open_audio(tmp_path / "train-*.parquet", sample_rate=RATE)
    assert source.attributes(np.arange(4))["speaker"].tolist() == [1, 1, 0, 0]
    pq.write_table(table(2), tmp_path / "train-2.parquet")
    with pytest.raises(DataError, match=r"the columns of train-0\.parquet, got none named speaker"):
        open_audio(tmp_path / "train-*.parquet", sample_rate=RATE)


def test_tables_of_other_things_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"expected a column of recordings .* got x \(double\)"):
        open_audio(tmp_path / "x.parquet", sample_rate=RATE)
    pq.write_table(table(0), tmp_path / "y.parquet")
    with pytest.raises(DataError, match="expected"):
        open_audio(tmp_path / "y.parquet", sample_rate=RATE)
