from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from tests.data.recordings import RATE, save, sine, steps

from vocabula.budgets import BATCH_SAMPLES
from vocabula.data import default_evaluation, open_audio
from vocabula.data.audio_reading import BLOCK, resampled_length
from vocabula.errors import DataError


def test_samples_of_16_bits_are_read_exactly_and_recordings_are_in_order(tmp_path: Path) -> None:
    for name, length in (("b.wav", 3), ("a/z.wav", 5), ("a/b.flac", 4)):
        save(tmp_path / name, steps(length))
    source = open_audio(tmp_path, sample_rate=RATE)
    assert [source.describe(i) for i in range(3)] == ["a/b.flac", "a/z.wav", "b.wav"]
    assert [source.length(i) for i in range(3)] == [4, 5, 3]
    found = source.read_whole(1)
    assert found.dtype == np.float32 and found.shape == (1, 5)
    np.testing.assert_array_equal(found[0], steps(5))


@pytest.mark.parametrize(
    ("count", "rate", "wanted", "expected"),
    [
        *((8000, 8000, 8000, 8000), (3, 16000, 8000, 2), (1, 44100, 8000, 1), (0, 16000, 8000, 0)),
        *((44100, 44100, 8000, 8000), (1, 8000, 44100, 6), (10**12, 48000, 44100, 918750000000)),
    ],
)
def test_length_after_resampling_is_the_nearest_integer(
    count: int, rate: int, wanted: int, expected: int
) -> None:
    assert resampled_length(count, rate, wanted) == expected


@pytest.mark.parametrize("rate", [16000, 44100, 11025])
def test_resampled_recordings_keep_the_wave(tmp_path: Path, rate: int) -> None:
    wave = sine(2 * rate, rate=rate)
    save(tmp_path / "x.wav", wave, rate)
    found = open_audio(tmp_path / "x.wav", sample_rate=RATE).read_whole(0)[0]
    written = np.rint(wave * 2**15).astype(np.float32) / 2**15
    np.testing.assert_allclose(found, soxr.resample(written, rate, RATE, "HQ"), atol=1e-6)
    inner = slice(500, -500)
    np.testing.assert_allclose(found[inner], sine(2 * RATE)[inner], atol=2e-4)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 79, 441])
def test_short_recordings_of_another_rate_have_exact_lengths(tmp_path: Path, length: int) -> None:
    save(tmp_path / "x.wav", sine(length, rate=44100), 44100)
    source = open_audio(tmp_path, sample_rate=RATE)
    assert source.read_whole(0).shape[1] == max(1, round(length * RATE / 44100))
    assert source.length(0) == source.read_whole(0).shape[1]


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_spans_and_blocks_are_parts_of_the_whole(tmp_path: Path, rate: int) -> None:
    random = np.random.default_rng(0)
    save(tmp_path / "x.wav", random.uniform(-1, 1, 3 * BLOCK).astype(np.float32), rate)
    source = open_audio(tmp_path, sample_rate=RATE)
    whole = source.read_whole(0)
    blocks = list(source.read_blocks(0, 1000))
    assert {block.shape[1] for block in blocks[:-1]} == {1000}
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
    for start in (0, 1, 12345, whole.shape[1] - 700):
        part = source.read_span(0, start, start + 600)
        np.testing.assert_allclose(part, whole[:, start : start + 600], atol=1e-6, rtol=0)
        if rate == RATE:
            np.testing.assert_array_equal(part, whole[:, start : start + 600])
    assert source.read_span(0, whole.shape[1] - 10, whole.shape[1] + 90).shape == (1, 10)


def test_spans_of_compressed_files_are_those_of_the_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000)
    for name in ("x.mp3", "x.ogg", "x.opus"):
        options = {"subtype": "OPUS"} if name == "x.opus" else {}
        container = "MP3" if name == "x.mp3" else "OGG"
        save(tmp_path / name, noise, 16000, format=container, **options)
    source = open_audio(tmp_path, sample_rate=16000)
    for index in range(3):
        whole = source.read_whole(index)
        assert whole.shape == (1, 30_000) and source.length(index) == 30_000
        part = source.read_span(index, 20_001, 20_101)  # decoders round by the blocks of reading
        np.testing.assert_allclose(part, whole[:, 20_001:20_101], atol=1e-6, rtol=0)


def test_channels_are_the_mean_or_kept_or_copied(tmp_path: Path) -> None:
    left, right = steps(4), steps(4, first=100)
    save(tmp_path / "1.wav", np.stack([left, right], axis=1))
    save(tmp_path / "2.wav", left)
    save(tmp_path / "3.wav", np.stack([left] * 8, axis=1))
    mono = open_audio(tmp_path, sample_rate=RATE)
    np.testing.assert_allclose(mono.read_whole(0)[0], (left + right) / 2)
    np.testing.assert_allclose(mono.read_whole(2)[0], left)
    kept = open_audio(tmp_path, sample_rate=RATE, channels=0)
    assert kept.channels == 2
    np.testing.assert_array_equal(kept.read_whole(0), np.stack([left, right]))
    np.testing.assert_array_equal(kept.read_whole(1), np.stack([left, left]))
    with pytest.warns(UserWarning, match=r"skipped 1 of 3 recordings: 3\.wav: 8 channels"):
        assert [len(batch) for batch in kept.batches()] == [2]


def test_batches_are_padded_under_a_mask_in_order_within_the_budget(tmp_path: Path) -> None:
    lengths = [3, 9, 4, 1]
    for number, length in enumerate(lengths):
        save(tmp_path / f"{number}.wav", steps(length, first=100 * number))
    source = open_audio(tmp_path, sample_rate=RATE)
    for workers in (0, 2):
        batches = list(source.batches(batch_size=3, workers=workers))
        assert [batch.paths for batch in batches] == [["0.wav", "1.wav", "2.wav"], ["3.wav"]]
        first = batches[0]
        assert first.mask is not None and first.values.shape == (3, 1, 9)
        assert first.mask.sum(1).tolist() == [3, 9, 4] and batches[1].mask is None
        assert float(first.values[~first.mask[:, None]].abs().sum()) == 0
        parts = [part.values[0, 0] for part in first.unpadded()]
        torch.testing.assert_close(parts[2], torch.from_numpy(steps(4, first=200)))
    assert sum(len(batch) for batch in source.batches(limit=2)) == 2
    long = BATCH_SAMPLES // 2 + 1
    save(tmp_path / "0.wav", np.zeros(long, np.float32))
    assert [len(batch) for batch in open_audio(tmp_path, sample_rate=RATE).batches()] == [1, 3]


def test_loudness_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", 0.01 * sine(800))
    save(tmp_path / "b.wav", 3 * sine(800), subtype="FLOAT")
    source = open_audio(tmp_path, sample_rate=RATE)
    assert np.abs(source.read_whole(0)).max() == pytest.approx(0.005, abs=1e-4)
    assert np.abs(source.read_whole(1)).max() == pytest.approx(1.5, abs=1e-4)


def test_the_content_is_that_of_the_files_wherever_they_lie(tmp_path: Path) -> None:
    for folder, length in (("one", 40), ("two", 40), ("three", 41)):
        save(tmp_path / folder / "x.wav", steps(length))
    hashes = [
        open_audio(tmp_path / name, sample_rate=RATE).content() for name in ("one", "two", "three")
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_folder_of_splits_is_read_by_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        for number in range(count):
            save(tmp_path / split / f"{split}{number}.wav", steps(5))
    train = open_audio(tmp_path, sample_rate=RATE)
    assert train.name == str(tmp_path / "train") and len(train) == 3
    test = default_evaluation(tmp_path)
    assert test == str(tmp_path / "test")
    assert not {*_paths(train)} & {*_paths(open_audio(test, sample_rate=RATE))}


def _paths(source) -> list[str]:  # type: ignore[no-untyped-def]
    return [path for batch in source.batches() for path in batch.paths]


def test_subfolders_are_classes(tmp_path: Path) -> None:
    for name in ("dog/1.wav", "cat/1.wav", "dog/2.wav"):
        save(tmp_path / name, steps(5))
    source = open_audio(tmp_path, sample_rate=RATE)
    assert source.label_names == ["cat", "dog"] and source.attribute_values() == {"class": 2}
    assert next(source.batches()).labels.tolist() == [0, 1, 1]


def test_an_array_of_recordings(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([steps(6), steps(6, first=50)]))
    source = open_audio(tmp_path / "x.npy", sample_rate=RATE)
    np.testing.assert_array_equal(source.read_whole(1)[0], steps(6, first=50))
    assert source.read_span(0, 2, 4).tolist() == [steps(6)[2:4].tolist()]
    np.save(tmp_path / "y.npy", np.full((2, 2, 6), 2**14, np.int16))
    stereo = open_audio(tmp_path / "y.npy", sample_rate=RATE, channels=0)
    assert stereo.channels == 2 and stereo.read_whole(0).tolist() == [[0.5] * 6] * 2
    broken = np.stack([steps(6)] * 2)
    broken[0, 3] = np.nan
    np.save(tmp_path / "z.npy", broken)
    with pytest.warns(UserWarning, match=r"skipped 1 of 2 recordings: \[0\]: NaN or infinity"):
        assert [len(b) for b in open_audio(tmp_path / "z.npy", sample_rate=RATE).batches()] == [1]
    np.save(tmp_path / "w.npy", np.zeros((2, 2, 2, 2), np.float32))
    with pytest.raises(DataError, match=r"expected recordings \(N, time\)"):
        open_audio(tmp_path / "w.npy", sample_rate=RATE)


def test_reading_a_good_folder_warns_of_nothing(tmp_path: Path) -> None:
    save(tmp_path / "x.wav", steps(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(open_audio(tmp_path, sample_rate=RATE).batches())) == 1
