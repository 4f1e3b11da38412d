"""What a page shows of recordings: players, spectrograms, codes, stages and codewords."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tests.sounds import noise, tokenizer_of

from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.evaluation import evaluate
from vocabula.priors.order import Samples
from vocabula.reports import build_report
from vocabula.reports.compare import compare_tokenizers
from vocabula.reports.comparison_page import build_comparison
from vocabula.reports.samples import Compared, DrawnRows, Neighbour
from vocabula.reports.sounds import PLAYER_BYTES, sound_of, spectrogram
from vocabula.reports.views.audio import AudioView
from vocabula.reports.views.audio_examples import distances_by_stage
from vocabula.signals import Audio
from vocabula.tokenizers import Tokenizer

RATE = 1000


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizer_of("seanet-even")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> AudioSource:
    folder = tmp_path_factory.mktemp("sounds")
    for number, length in enumerate((300, 411, 300)):
        wave = noise(1, length, seed=number)[0, 0].numpy()
        soundfile.write(folder / f"<{number}>.wav", wave, RATE)
    return open_audio(folder, sample_rate=RATE)


def opened(uri: str) -> np.ndarray:
    """The samples of a player."""
    content = base64.b64decode(uri.removeprefix("data:audio/wav;base64,"))
    samples, rate = soundfile.read(io.BytesIO(content))
    assert rate == RATE
    return samples


def test_a_player_has_the_samples_and_is_bounded() -> None:
    wave = noise(1, 500)[0]
    sound = sound_of(wave, RATE, "noise")
    assert np.abs(opened(sound.player) - wave[0].numpy()).max() < 1 / 2**14
    long = sound_of(torch.zeros(2, PLAYER_BYTES), RATE, "silence")
    assert opened(long.player).shape == (PLAYER_BYTES // 4, 2)
    assert len(long.player) < 1.4 * PLAYER_BYTES
    assert sound_of(wave, RATE, "noise", plays=False).player == ""


def test_a_spectrogram_shows_a_tone_at_its_height() -> None:
    time = torch.arange(8000) / 8000
    low, high = (torch.sin(2 * np.pi * f * time)[None] for f in (200, 3000))
    rows = [spectrogram(x, 8000).astype(int).sum((1, 2)).argmax() for x in (low, high)]
    assert rows[0] > 40 > 10 > rows[1]  # of 48 bands, the lowest is the last row
    assert spectrogram(torch.zeros(1, 100), 8000).max() == 0


def test_the_distance_by_stage_is_that_of_the_first_stages(
    tokenizer: Tokenizer, source: AudioSource
) -> None:
    found = distances_by_stage(tokenizer, source)
    assert len(found) == 2
    assert found[1] == pytest.approx(evaluate(tokenizer, source).log_mel_distance, rel=1e-5)
    assert found[0] != found[1]


def test_a_report_of_recordings(tokenizer: Tokenizer, source: AudioSource, tmp_path: Path) -> None:
    figures = build_report(tokenizer, source, tmp_path / "report.html", examples=2)
    page = (tmp_path / "report.html").read_text()
    # two examples of original, first stage and decoded; the used codewords of the first book
    used = figures.books[0].used
    assert page.count("<audio") == 2 * 3 + min(used, 16)
    assert "&lt;0&gt;.wav" in page and "<0>.wav" not in page
    assert "Distance by stage" in page and "per second: 250 codes" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(one))).size for one in pictures]
    assert len(pictures) == 2 * 4 + 2 * min(used, 64) and min(min(size) for size in sizes) >= 1


def test_rates_are_shown(tokenizer: Tokenizer, source: AudioSource) -> None:
    """A hop of 8 samples at 1 kHz: 125 positions of two books of 4 bits."""
    result = evaluate(tokenizer, source)
    assert (result.frame_rate, result.tokens_per_second) == (125, 250)
    assert result.bits_per_second == 1000
    padded = 8 * 2 * sum(-(-n // 8) for n in (300, 411, 300))
    assert result.code_bits_per_second == pytest.approx(padded / 2 / 1.011)
    shown = {row.name: row for row in result.rows()}
    assert shown["frame rate"].value == "125"
    assert shown["frame rate"].meaning == "per second: 250 codes, 1000 bits at a fixed length"
    assert [book.name for book in result.books] == ["book 1", "book 2"]
    assert result.to_dict()["bits_per_second"] == 1000


def test_tokenizers_of_sound_are_compared(
    tokenizer: Tokenizer, source: AudioSource, tmp_path: Path
) -> None:
    both = {"one": tokenizer, "two": tokenizer_of("frames-even")}
    compared = compare_tokenizers(both, source)
    build_comparison(both, compared, source, tmp_path / "page.html")
    assert "log-mel distance" in (tmp_path / "page.html").read_text()


def test_samples_of_a_prior_are_played() -> None:
    waves = noise(6, 200)
    drawn = DrawnRows(["low", "high"], 3, Samples(waves, ()), Audio(RATE))
    near = Neighbour(waves[1], "a.wav", 0.25)
    found = AudioView().samples(drawn, [Compared(0, waves[0], near, near)])
    assert [row["name"] for row in found["rows"]] == ["low", "high"]
    assert [len(row["sounds"]) for row in found["rows"]] == [3, 3]
    wave = opened(found["rows"][1]["sounds"][0].player)
    assert np.abs(wave - waves[3, 0].numpy()).max() < 1 / 2**14
    ((sample, codes, values),) = found["comparisons"]
    assert sample.caption == "sample" and codes.caption == "by codes, 25% differ: a.wav"
    assert values.caption == "by samples, RMSE 0.250: a.wav"
