"""Rates of sound beside other codecs: installed, replaced by small programs, and absent."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.sounds import noise, tokenizer_of

from vocabula import codec
from vocabula.benchmark.rate import RATES
from vocabula.benchmark.rate.sound_codecs import Codec2, Opus, ogg_payload
from vocabula.benchmark.rate.sound_study import SoundPoint, SoundStudy, ours_at
from vocabula.benchmark.rate.sound_words import sound_verdict
from vocabula.benchmark.rate.sounds import SoundRates, find_delay, measure_sounds, moved
from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.errors import DataError

TOKENIZER = tokenizer_of("seanet-even")
RATE = 1000
LENGTHS = (300, 411, 300)


@pytest.fixture
def source(tmp_path: Path) -> AudioSource:
    for number, length in enumerate(LENGTHS):
        wave = noise(1, length, seed=number)[0, 0].numpy()
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE, subtype="FLOAT")
    return open_audio(tmp_path, sample_rate=RATE)


def page(packets: list[bytes]) -> bytes:
    """An Ogg page of whole packets: sizes in steps of 255, the last step below."""
    table = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    return b"OggS" + bytes(22) + bytes([len(table)]) + table + b"".join(packets)


def test_the_payload_of_opus_is_its_packets_of_sound() -> None:
    head, tags = page([bytes(19)]), page([bytes(300)])
    sound = page([bytes(40), bytes(510), b""]) + page([bytes(255)])
    assert ogg_payload(head + tags + sound) == 40 + 510 + 255
    assert ogg_payload(head + tags) == 0
    for damaged in (sound[:-1], b"OggX" + sound[4:], sound[:20]):
        with pytest.raises(DataError, match="pages of Ogg"):
            ogg_payload(head + damaged)


@pytest.mark.parametrize("delay", [-7, 0, 12, 31])
def test_a_delay_is_found_without_phases(delay: int) -> None:
    x = noise(1, 4000)[0, 0].numpy()
    late = np.pad(x, (max(0, delay), 0))[max(0, -delay) :]
    assert find_delay(late, x, RATE) == delay
    assert find_delay(-0.9 * late, x, RATE) == delay
    back = moved(late, delay, len(x))
    inner = slice(8, -40)
    assert len(back) == len(x) and np.array_equal(back[inner], x[inner])


OPUSENC = """
import shutil, sys
given, coded = sys.argv[-2:]
assert sys.argv[1:3] == ["--quiet", "--bitrate"]
def page(size):
    return b"OggS" + bytes(22) + bytes([1, size]) + bytes(size)
with open(coded, "wb") as file:
    file.write(page(19) + page(60) + page(10 * int(sys.argv[3])))
shutil.copy(given, coded + ".copy")
"""
OPUSDEC = """
import sys, wave
coded, found = sys.argv[-2:]
with wave.open(coded + ".copy") as one, wave.open(found, "wb") as other:
    assert sys.argv[1:4] == ["--quiet", "--rate", str(one.getframerate())]
    other.setparams(one.getparams())
    other.writeframes(bytes(2 * 5) + one.readframes(one.getnframes()))  # 5 samples late
"""
C2ENC = """
import sys
setting, given, coded = sys.argv[1:]
with open(given, "rb") as raw, open(coded, "wb") as file:
    sound = raw.read()
    file.write(bytes(7) + bytes(len(sound) // 20))
with open(coded + ".copy", "wb") as file:
    file.write(sound)
"""
C2DEC = """
import shutil, sys
shutil.copy(sys.argv[2] + ".copy", sys.argv[3])
"""
PROGRAMS = {"opusenc": OPUSENC, "opusdec": OPUSDEC, "c2enc": C2ENC, "c2dec": C2DEC}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]) -> None:
    """A PATH of these programs alone."""
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_other_codecs_are_measured_beside_ours(
    source: AudioSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", monkeypatch, PROGRAMS)
    study = SoundRates().measure(TOKENIZER, source, entropy="uniform")
    seconds = sum(LENGTHS) / RATE
    assert study.seconds == pytest.approx(seconds) and study.recordings == 3
    recordings = [noise(1, n, seed=i)[0] for i, n in enumerate(LENGTHS)]
    for stages, point in enumerate(study.points, 1):
        content = codec.to_bytes(recordings, TOKENIZER, entropy="uniform", stages=stages)
        found = codec.inspect(content)
        assert point.setting == str(stages)
        assert point.file_bits_per_second == pytest.approx(8 * len(content) / seconds)
        assert point.payload_bits_per_second == pytest.approx(8 * sum(found.stage_bytes) / seconds)
    opus = study.curves["Opus"]
    assert [one.setting for one in opus] == ["6", "8", "12", "16", "24"]
    assert opus[0].payload_bits_per_second == pytest.approx(8 * 60 / seconds)
    headers = 19 + 60 + 3 * 28  # two packets, three pages
    assert opus[0].file_bits_per_second == pytest.approx(8 * (60 + headers) / seconds)
    assert opus[0].delay == 5 and opus[0].log_mel_distance < 0.1  # 16-bit samples remain
    assert study.absent == {"Codec2": "for mono speech at 8000 Hz alone"}
    assert [table.title for table in SoundRates().tables(study)] == [
        "all recordings in one .vcb file", "Opus, all recordings joined",
    ]  # fmt: skip
    SoundRates().write(tmp_path, study, {"run": "runs/$x"})
    found = json.loads((tmp_path / "rate.json").read_text())
    assert found["verdict"] == SoundRates().verdict(study) and found["run"] == "runs/$x"
    with open(tmp_path / "rate.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 + 5
    assert (tmp_path / "rate.png").read_bytes()[:4] == b"\x89PNG"


def test_codec2_of_speech_at_8_khz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, PROGRAMS)
    wave = noise(1, 8000)[0, 0].numpy()
    assert Codec2().absent(8000, 1) == ""
    coded = Codec2().code(wave, 8000, "1200")
    assert (coded.payload, coded.bytes) == (800, 807)  # of 880 bytes for 8800 samples
    assert np.abs(coded.wave[:8000] - wave).max() <= 1 / 2**15


def test_programs_that_are_absent_or_fail(
    source: AudioSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    study = measure_sounds(TOKENIZER, source)
    assert study.absent == {
        "Opus": "opusenc and opusdec not installed (opus-tools)",
        "Codec2": "c2enc and c2dec not installed (codec2)",
    }
    assert not study.curves and "Opus is left out: opusenc and" in sound_verdict(study)
    broken = "import sys; sys.exit('no such rate')"
    install(tmp_path / "bin", monkeypatch, {**PROGRAMS, "opusenc": broken})
    with pytest.raises(DataError, match=r"opusenc: expected success, got .* 1 \(no such rate\)"):
        measure_sounds(TOKENIZER, source)


def test_words_say_who_wins() -> None:
    def points(*pairs: tuple[float, float]) -> tuple[SoundPoint, ...]:
        return tuple(SoundPoint(str(i), rate, rate, far, None, None) for i, (rate, far) in
                     enumerate(pairs))  # fmt: skip

    own = points((1000, 8.0), (4000, 4.0))
    assert ours_at(own, 2000, "log_mel_distance") == pytest.approx(6)  # log-linear: half way
    assert ours_at(own, 2000, "stoi") is None
    assert ours_at(own, 999, "log_mel_distance") is ours_at(own, 4001, "log_mel_distance") is None
    curves = {
        "A": points((900, 9), (2000, 7), (4000, 3.9)),
        "B": points((9000, 1)),
        "C": points((1000, 9.0)),
    }
    study = SoundStudy("d", "adaptive", 1, 0, 1.0, own, curves, {"D": "not there"})
    assert sound_verdict(study) == (
        "vocabula at equal payload, by log-mel distance: wins over A 1 and loses to A 2; "
        "B has no setting within our rates; wins over C 0; D is left out: not there."
    )


def test_only_kinds_with_rivals_are_measured() -> None:
    assert RATES.kinds() == ["audio", "image"]
    assert RATES.of("audio") is SoundRates


@pytest.mark.skipif(shutil.which("opusenc") is None, reason="opusenc is not installed")
def test_opus_itself() -> None:
    wave = noise(1, 16000)[0, 0].numpy()
    coded = Opus().code(wave, 8000, "12")
    assert 0.5 * 12000 < 8 * coded.payload / 2 < 2 * 12000
    assert coded.payload < coded.bytes < coded.payload + 2000
    assert abs(len(coded.wave) - 16000) <= 8


@pytest.mark.skipif(shutil.which("c2enc") is None, reason="c2enc is not installed")
@pytest.mark.parametrize("setting", Codec2.settings)
def test_codec2_itself(setting: str) -> None:
    time = torch.arange(16000) / 8000
    wave = (0.3 * torch.sin(2 * np.pi * 200 * time)).numpy()
    coded = Codec2().code(wave, 8000, setting)
    bits = {"700C": 700}.get(setting) or int(setting)
    assert 8 * coded.payload / 2 == pytest.approx(bits, rel=0.03)
    assert len(coded.wave) >= 16000
