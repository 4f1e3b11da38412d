from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.data.recordings import RATE, save, sine, steps, wav

from vocabula.data import AudioSource, DataWarning, open_audio
from vocabula.errors import DataError


@pytest.mark.parametrize(
    ("subtype", "error"),
    [
        *(("PCM_U8", 2**-7), ("PCM_24", 2**-22), ("PCM_32", 2**-23), ("DOUBLE", 1e-7)),
        *(("FLOAT", 0), ("ULAW", 0.02), ("ALAW", 0.02)),
    ],
)
def test_sample_types_are_read(tmp_path: Path, subtype: str, error: float) -> None:
    save(tmp_path / "x.wav", sine(500), subtype=subtype)
    found = open_audio(tmp_path / "x.wav", sample_rate=RATE).read_whole(0)[0]
    np.testing.assert_allclose(found, sine(500), atol=error)


@pytest.mark.parametrize("name", ["x.rf64", "x.w64", "x.caf", "x.aiff", "x.au", "x.flac"])
def test_containers_are_read(tmp_path: Path, name: str) -> None:
    save(tmp_path / name, sine(500))
    found = open_audio(tmp_path, sample_rate=RATE).read_whole(0)[0]
    np.testing.assert_allclose(found, sine(500), atol=2**-14)


@pytest.mark.parametrize("claimed", [2**31 - 16, 2**32 - 1, 4000])
def test_lengths_are_those_of_the_data_and_not_of_the_header(tmp_path: Path, claimed: int) -> None:
    (tmp_path / "x.wav").write_bytes(wav(1000, claimed=claimed))
    source = open_audio(tmp_path, sample_rate=RATE)
    assert source.length(0) == source.read_whole(0).shape[1] == 1000
    np.testing.assert_array_equal(source.read_whole(0)[0], steps(1000))


def test_cut_data_are_read_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(1000)[: 44 + 2 * 300 + 1])
    assert open_audio(tmp_path, sample_rate=RATE).read_whole(0).shape == (1, 300)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 120_000)
    for name in ("x.mp3", "x.ogg"):
        content = save(tmp_path / name, noise, 16000).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        source = open_audio(tmp_path / name, sample_rate=16000)
        assert 20_000 < source.read_whole(0).shape[1] == source.length(0) < 100_000


BROKEN = {
    "zero.wav": (wav(0), "no samples"),
    "empty.wav": (b"", "an empty file"),
    "text.wav": (b"hello there " * 100, "no recording by its content"),
    "head.wav": (wav(9)[:20], "a damaged header"),
    "slow.wav": (wav(9, rate=1), "a sample rate of 1 Hz, too far from 8000 Hz"),
    "fast.wav": (wav(9, rate=10**7), "a sample rate of 10000000 Hz"),
    "claims_none.wav": (wav(9, claimed=0), "no samples"),
    "song.m4a": (b"\0\0\0\x20ftypM4A " + bytes(99), r"AAC \(m4a\); convert it to WAV or FLAC"),
    "named.wav": (b"\0\0\0\x20ftypM4A " + bytes(99), r"AAC \(m4a\); convert it to WAV or FLAC"),
    "film.mp4": (b"\0\0\0\x20ftypisom" + bytes(99), "a video; convert it"),
    "film.mkv": (b"\x1aE\xdf\xa3" + bytes(99), "a video; convert it"),
    "notes.mid": (b"MThd" + bytes(99), "MIDI"),
    "pointer.wav": (b"version https:" + b"//git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_alone_and_is_skipped_among_others(
    tmp_path: Path, name: str
) -> None:
    content, reason = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: expected a recording, got {reason}") as error:
        list(open_audio(tmp_path / name, sample_rate=RATE).batches())
    assert "\n" not in str(error.value)
    save(tmp_path / "good.wav", steps(9))
    _skips_one(tmp_path, name, reason)


def _skips_one(folder: Path, name: str, reason: str) -> None:
    with pytest.warns(DataWarning, match=rf"skipped 1 of 2 recordings: {name}: {reason}") as told:
        source = open_audio(folder, sample_rate=RATE)
        paths = [path for batch in source.batches() for path in batch.paths]
    assert paths == ["good.wav"] and len(told) == 1 and len(source.problems) == 1
    with pytest.raises(DataError, match=rf"expected readable recordings, got {name}: {reason}"):
        list(open_audio(folder, sample_rate=RATE, strict=True).batches())


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (2.0**15, "values up to 3.277e+04")],
)
def test_values_that_are_no_sound_are_refused(tmp_path: Path, value: float, reason: str) -> None:
    wave = sine(500)
    wave[77] = value
    save(tmp_path / "bad.wav", wave, subtype="FLOAT")
    save(tmp_path / "good.wav", steps(9))
    _skips_one(tmp_path, "bad.wav", reason.replace("+", r"\+"))


def test_damage_behind_the_header_is_noticed(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-1, 1, 30_000), RATE, format="FLAC")
    content = bytearray(file.getvalue())
    content[20_000:20_200] = bytes(200)
    (tmp_path / "bad.flac").write_bytes(content)
    save(tmp_path / "good.wav", steps(9))
    _skips_one(tmp_path, "bad.flac", "damaged data")


def test_names_of_any_kind_links_and_folders(tmp_path: Path) -> None:
    save(tmp_path / "größe 音.wav", steps(5))
    save(tmp_path / "folder.wav" / "inner.wav", steps(5))
    os.symlink(tmp_path / "größe 音.wav", tmp_path / "link.wav")
    os.symlink("nowhere", tmp_path / "lost.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")).write_bytes(wav(5))
    save(tmp_path / ".hidden.wav", steps(5))
    with pytest.warns(DataWarning, match="1 of 5 recordings: lost.wav: a broken link"):
        source = open_audio(tmp_path, sample_rate=RATE)
        found = [path for batch in source.batches() for path in batch.paths]
    assert len(found) == 4 and source.describe(0) == "folder.wav/inner.wav"


def test_other_files_are_counted_once(tmp_path: Path) -> None:
    save(tmp_path / "x.wav", steps(5))
    save(tmp_path / "recording", steps(5), format="WAV")  # by its first bytes
    (tmp_path / "notes.txt").write_text("x")
    with pytest.warns(DataWarning, match=r"skipped 1 of 3 files: notes\.txt: not a recording by"):
        assert len(open_audio(tmp_path, sample_rate=RATE)) == 2
    with pytest.raises(DataError, match="expected only readable recordings"):
        open_audio(tmp_path, sample_rate=RATE, strict=True)


def test_an_empty_folder_and_one_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected recordings \(wav, .*got an empty folder"):
        open_audio(tmp_path, sample_rate=RATE)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="got 1 picture; pictures are for a tokenizer of images"):
        open_audio(tmp_path, sample_rate=RATE)


def test_a_strict_source_reads_every_header_at_once(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", steps(5))
    (tmp_path / "b.wav").write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(open_audio(tmp_path, sample_rate=RATE), AudioSource)
    with pytest.raises(DataError, match=r"b\.wav: no recording by its content"):
        open_audio(tmp_path, sample_rate=RATE, strict=True)
