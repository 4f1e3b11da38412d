from __future__ import annotations

import numpy as np
import pytest

from vocabula.data import default_evaluation, open_audio, open_source, open_vectors
from vocabula.data.tones import PITCHES, RATE, TIMBRES, frequency, note
from vocabula.errors import DataError


def loudest(wave: np.ndarray) -> float:
    """Hertz of the strongest frequency, by interpolation between bins."""
    size = 8 * len(wave)
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), size))
    return float(power.argmax() * RATE / size)


def test_pitches_are_equally_tempered_from_a3_on() -> None:
    assert [frequency(n) for n in (0, 12, 24)] == [220, 440, 880]
    assert frequency(3) == pytest.approx(261.626, abs=1e-3)  # middle C
    assert PITCHES[3] == "C4" and PITCHES[12] == "A4"


@pytest.mark.parametrize("pitch", [0, 7, 12, 23])
@pytest.mark.parametrize("timbre", ["pure", "reed", "string"])
def test_a_note_sounds_at_its_pitch(timbre: str, pitch: int) -> None:
    wave = note(timbre, pitch, RATE, np.random.default_rng(0))
    if timbre == "string":  # any harmonic may be the strongest
        power = np.abs(np.fft.rfft(wave * np.hanning(RATE)))  # a bin is 1 Hz
        comb = [power[np.arange(1, 5) * f].sum() for f in range(200, 900)]
        assert 200 + int(np.argmax(comb)) == pytest.approx(frequency(pitch), rel=0.008)
    else:
        assert loudest(wave) == pytest.approx(frequency(pitch), abs=2)


def test_a_chirp_rises_by_a_semitone() -> None:
    wave = note("chirp", 12, RATE, np.random.default_rng(0))
    assert loudest(wave[:800]) < 445 and 460 < loudest(wave[-800:]) < 470


def test_timbres_differ_in_their_harmonics() -> None:
    shares = {}
    for timbre in ("pure", "reed"):
        wave = note(timbre, 0, RATE, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(wave)) ** 2
        shares[timbre] = power[640:680].sum() / power[200:240].sum()  # of the third harmonic
    assert shares["pure"] < 1e-3 and shares["reed"] == pytest.approx(1 / 9, rel=0.05)


def test_the_sample_of_tones() -> None:
    train, test = (open_audio(f"sample:tones{part}", sample_rate=RATE) for part in ("", "/test"))
    assert len(train) == 480 and len(test) == 96 and train.name == "sample:tones"
    assert train.names == {"class": (), "pitch": PITCHES, "timbre": TIMBRES}
    batch = next(train.batches(batch_size=96))
    assert batch.values.shape == (65, 1, 8000) or batch.values.shape == (96, 1, 8000)
    assert float(batch.values.abs().amax(dim=(1, 2)).min()) > 0.05
    assert float(batch.values.abs().max()) < 1 and batch.mask is None
    assert batch.attributes["timbre"][:5].tolist() == [0, 1, 2, 3, 0]
    waves = {train.read_whole(index).tobytes() for index in range(480)}
    assert len(waves) == 480 and not waves & {test.read_whole(i).tobytes() for i in range(96)}
    assert default_evaluation("sample:tones") == "sample:tones/test"


def test_melodies_are_longer_and_have_splits() -> None:
    train = open_audio("sample:tones/melodies", sample_rate=RATE)
    test = open_audio("sample:tones/melodies/test", sample_rate=2 * RATE)
    assert (len(train), len(test)) == (96, 24)
    assert train.read_whole(0).shape == (1, 32000) and test.read_whole(0).shape == (1, 64000)
    assert default_evaluation("sample:tones/melodies") == "sample:tones/melodies/test"


def test_other_kinds_say_what_tones_are() -> None:
    for opened in (open_source, open_vectors):
        with pytest.raises(DataError, match="got recordings; recordings are for a tokenizer of au"):
            opened("sample:tones")
    with pytest.raises(DataError, match="got images; pictures are for a tokenizer of images"):
        open_audio("sample:digits", sample_rate=RATE)
    with pytest.raises(DataError, match="got an unknown sample; did you mean 'sample:tones'"):
        open_audio("sample:tone", sample_rate=RATE)
