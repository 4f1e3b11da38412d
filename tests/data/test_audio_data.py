from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.recordings import RATE, save, steps

from vocabula.data import AudioData, DataWarning, open_data, open_source
from vocabula.errors import DataError, OptionError
from vocabula.signals import Audio

LENGTHS = (3, 20, 7, 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings whose samples tell which they are and where."""
    for number, length in enumerate(LENGTHS):
        save(tmp_path / f"{number}.wav", steps(length, first=1000 * number))
    return tmp_path


def data(**options: object) -> AudioData:
    return AudioData(segment=8 / RATE, **options).for_signal(Audio(RATE))


def batches(reading: AudioData, folder: Path, count: int, **options: int) -> list:  # type: ignore[type-arg]
    stream = reading.train_batches(reading.open(folder), seed=0, **{"batch_size": 8, **options})
    return list(itertools.islice(stream, count))


def test_segments_lie_in_their_recordings_and_short_ones_are_padded(folder: Path) -> None:
    starts = set()
    for batch in batches(data(), folder, 30):
        assert batch.values.shape == (8, 1, 8) and batch.mask is not None
        for row, index in enumerate(batch.indices.tolist()):
            length = min(8, LENGTHS[index])
            assert batch.mask[row].tolist() == [True] * length + [False] * (8 - length)
            values = np.rint(batch.values[row, 0].numpy() * 2**15).astype(int)
            first = int(values[0])
            assert values[:length].tolist() == list(range(first, first + length))
            assert not values[length:].any() and first // 1000 == index
            starts.add((index, first % 1000))
    every = {(i, 1 + s) for i, n in enumerate(LENGTHS) for s in range(max(1, n - 8 + 1))}
    assert starts == every  # every place of every recording comes


def test_a_batch_depends_on_seed_and_number_alone(folder: Path) -> None:
    whole = batches(data(), folder, 6)
    again = batches(data(workers=2), folder, 2, start=4)
    for one, two in zip(whole[4:], again, strict=True):
        torch.testing.assert_close(one.values, two.values, rtol=0, atol=0)
    ranks = [batches(data(), folder, 1, batch_size=4, rank=r, world_size=2)[0] for r in (0, 1)]
    indices = torch.stack([rank.indices for rank in ranks], dim=1).flatten()
    assert indices.tolist() == whole[0].indices.tolist()


def test_long_recordings_are_read_by_spans(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batches(data(), folder, 3)
    monkeypatch.setattr("vocabula.data.audio_data.CACHED_SAMPLES", 5)
    for one, two in zip(whole, batches(data(), folder, 3), strict=True):
        torch.testing.assert_close(one.values, two.values, rtol=0, atol=0)


def test_whole_recordings(folder: Path) -> None:
    reading = AudioData().for_signal(Audio(RATE))
    source = reading.open(folder)
    assert reading.extent(source) == (20,) and reading.in_words(source) == "whole recordings"
    batch = next(reading.train_batches(source, batch_size=4, seed=0))
    assert batch.mask is not None
    lengths = [LENGTHS[index] for index in batch.indices.tolist()]
    assert sorted(lengths) == sorted(LENGTHS) and batch.mask.sum(1).tolist() == lengths


def test_extent_words_and_memory(folder: Path) -> None:
    reading = AudioData(segment=0.5).for_signal(Audio(RATE))
    source = reading.open(folder)
    assert reading.extent(source) == (4000,) and reading.in_words(source) == "segments of 0.5 s"
    assert reading.kept_bytes(source) == 4 * sum(LENGTHS)


def test_a_broken_recording_is_replaced_with_one_warning(folder: Path) -> None:
    (folder / "1.wav").write_bytes(b"x")
    reading = data()
    source = reading.open(folder)
    with pytest.warns(DataWarning, match=r"skipped 1 of 4 recordings: 1\.wav") as told:
        found = list(itertools.islice(reading.train_batches(source, batch_size=8, seed=0), 4))
    assert len(told) == 1 and {i for b in found for i in b.indices.tolist()} == {0, 2, 3}


def test_the_rate_is_that_of_the_signal(folder: Path) -> None:
    source = open_data(Audio(2 * RATE), folder)
    assert source.batches().__next__().extents == [(2 * length,) for length in LENGTHS]
    with pytest.raises(OptionError, match=r"data\.sample_rate: expected that of the signal, 8000"):
        AudioData(sample_rate=16000).for_signal(Audio(RATE))
    with pytest.raises(OptionError, match="expected samples per second, got none"):
        AudioData().open(folder)


def test_other_sources_are_refused() -> None:
    with pytest.raises(DataError, match="expected recordings, got ArraySource"):
        AudioData().extent(open_source("sample:digits"))
