from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.data.recordings import steps

from vocabula.data import DataWarning
from vocabula.data.media import MEDIA
from vocabula.data.media.audio import AudioFiles
from vocabula.errors import OptionError, OutputError
from vocabula.signals import Audio


def files(channels: int = 1) -> AudioFiles:
    return MEDIA.of("audio").for_signal(Audio(22050, channels), "decode")  # type: ignore[return-value]


def batch(*lengths: int) -> list[tuple[torch.Tensor, list[str]]]:
    """A batch for each length, of a recording named after it."""
    return [(torch.from_numpy(steps(n))[None, None], [f"in/{n}.mp3"]) for n in lengths]


@pytest.mark.parametrize(
    ("name", "suffix"), [("out", ".wav"), ("out/*.wav", ".wav"), ("out/*.flac", ".flac")]
)
def test_a_folder_of_files_of_exact_lengths_and_samples(
    tmp_path: Path, name: str, suffix: str
) -> None:
    written = files().write(tmp_path / name, batch(1, 999), 2, overwrite=False)
    assert written == [tmp_path / "out" / "in" / f"{n}{suffix}" for n in (1, 999)]
    for path, length in zip(written, (1, 999), strict=True):
        found, rate = soundfile.read(path, dtype="float32")
        assert rate == 22050 and soundfile.info(path).subtype == "PCM_16"
        np.testing.assert_array_equal(found, steps(length))


def test_names_that_meet_are_told_apart(tmp_path: Path) -> None:
    two = [(torch.zeros(2, 1, 4), ["a.wav", "A.flac"]), (torch.zeros(1, 1, 4), [""])]
    written = files().write(tmp_path / "out", two, None, overwrite=False)
    assert [path.name for path in written] == ["a.wav", "A-2.wav", "recording.wav"]


@pytest.mark.parametrize("name", ["one.wav", "one.flac"])
def test_a_single_recording_to_a_name(tmp_path: Path, name: str) -> None:
    stereo = torch.from_numpy(np.stack([steps(5), steps(5, first=9)]))[None]
    assert files(2).write(tmp_path / name, [(stereo, ["x"])], 1, overwrite=False) == [
        tmp_path / name
    ]
    found, _ = soundfile.read(tmp_path / name, dtype="float32")
    np.testing.assert_array_equal(found.T, stereo[0].numpy())
    with pytest.raises(OutputError, match="got an existing"):
        files(2).check(tmp_path / name, overwrite=False)


def test_several_recordings_do_not_fit_one_name(tmp_path: Path) -> None:
    for count in (2, None):
        with pytest.raises(OptionError, match="expected one recording for the name of a file"):
            files().write(tmp_path / "one.wav", batch(3, 4), count, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_full_scale_are_clipped_and_counted(tmp_path: Path) -> None:
    values = torch.tensor([[[1.0, -1.0, 1.25, -3.0]], [[0.0, 0.5, 0.0, 0.0]]])
    with pytest.warns(DataWarning, match="clipped 2 values beyond full scale in 1 of 2 recordings"):
        written = files().write(tmp_path / "out", [(values, ["a", "b"])], 2, overwrite=False)
    found, _ = soundfile.read(written[0], dtype="int16")
    assert found.tolist() == [2**15 - 1, -(2**15), 2**15 - 1, -(2**15)]


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    for name in ("x.npy", "x.mp3", "x.m4a"):
        with pytest.raises(OptionError, match=f"ends in .wav or .flac, got {Path(name).suffix}"):
            files().check(tmp_path / name, overwrite=False)
    with pytest.raises(OptionError, match=r"at most 8 channels for \.flac files, got 9"):
        files(9).check(tmp_path / "x.flac", overwrite=False)
    with pytest.raises(OptionError, match="recordings of a known sample rate"):
        AudioFiles(1, "decompress").check(tmp_path / "x", overwrite=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(OutputError):
        files().check(tmp_path / "full", overwrite=False)
