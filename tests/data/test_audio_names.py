from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.recordings import RATE, save, steps

from vocabula.data import AudioData, DataWarning, open_audio
from vocabula.data.audio_names import NamePattern
from vocabula.errors import DataError, OptionError
from vocabula.signals import Audio

DIGITS = "{digit}_{speaker}_{index}"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (DIGITS, "train/7_george_0.wav", {"digit": "7", "speaker": "george"}),
        (DIGITS, "7_george.wav", None),
        (DIGITS, "7_geo_rge_0.wav", None),
        (DIGITS, "7__0.wav", None),
        ("{speaker}-{chapter}-{index}", "84-121_a-0.flac", {"speaker": "84", "chapter": "121_a"}),
        ("{speaker}/{class}/{index}", "x/anna/dog/1.wav", {"speaker": "anna", "class": "dog"}),
        ("{speaker}/{class}/{index}", "dog/1.wav", None),
        ("take{number}", "take12.wav", {"number": "12"}),
        ("{word}", "größe.1.wav", {"word": "größe.1"}),
    ],
)
def test_attributes_of_a_name(pattern: str, path: str, expected: dict[str, str] | None) -> None:
    assert NamePattern(pattern).fields(path) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "speech",
        "{index}",
        "{a}{b}",
        "{a}_{a}",
        "{text}",
        "{upper}_{a}",
        "{a b}",
        "{}",
        "{a",
        "a}_{b}",
    ],
)
def test_patterns_without_sense_are_refused(pattern: str) -> None:
    with pytest.raises(OptionError, match=r"data\.labels: expected different attributes"):
        NamePattern(pattern)


def test_attributes_reach_batches_with_their_names(tmp_path: Path) -> None:
    for name in ("10_ben_0", "2_anna_0", "2_ben_1"):
        save(tmp_path / f"{name}.wav", steps(5))
    source = open_audio(tmp_path, sample_rate=RATE, labels=DIGITS)
    assert source.names == {"class": (), "digit": ("2", "10"), "speaker": ("anna", "ben")}
    assert source.attribute_values() == {"digit": 2, "speaker": 2}
    batch = next(source.batches())
    assert batch.paths == ["10_ben_0.wav", "2_anna_0.wav", "2_ben_1.wav"]
    assert batch.attributes["digit"].tolist() == [1, 0, 0]
    assert batch.attributes["speaker"].tolist() == [1, 0, 1]
    assert batch.labels.tolist() == [-1, -1, -1]


def test_names_that_do_not_fit_are_counted_or_refused(tmp_path: Path) -> None:
    save(tmp_path / "1_anna_0.wav", steps(5))
    save(tmp_path / "other.wav", steps(5))
    with pytest.warns(DataWarning, match=r"got 1 of 2 names that do not fit: other\.wav"):
        source = open_audio(tmp_path, sample_rate=RATE, labels=DIGITS)
    assert next(source.batches()).attributes["speaker"].tolist() == [0, -1]
    with pytest.raises(DataError, match=r"names like \{digit\}.* got 1 of 2 names that do not fit"):
        open_audio(tmp_path, sample_rate=RATE, labels=DIGITS, strict=True)


def test_a_pattern_that_no_name_fits_is_refused_for_training(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", steps(5))
    data = AudioData(labels=DIGITS).for_signal(Audio(RATE))
    with pytest.warns(DataWarning, match="1 of 1 name"):
        source = data.open(tmp_path)
    with pytest.raises(DataError, match=r"expected names like data\.labels=.* such as a\.wav"):
        data.extent(source)


def test_a_field_that_identifies_many_recordings_is_no_attribute() -> None:
    paths = [f"{number % 2}_{number}.wav" for number in range(65)]
    found = NamePattern("{kind}_{take}").read(paths)
    assert list(found.labels) == ["kind"] and found.left_out == ["take"]
    assert list(NamePattern("{kind}_{take}").read(paths[:64]).labels) == ["kind", "take"]
    with pytest.warns(DataWarning, match="take differs in every recording, so it is no attribute"):
        found.report("data", 65, strict=False)
