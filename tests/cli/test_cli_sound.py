"""Commands that measure, compress and describe recordings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tests.sounds import noise, tokenizer_of

Vocabula = Callable[..., Any]
LENGTHS = (300, 411, 300)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tokenizer of recordings at 1 kHz with two residual books of 16, hop 8."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    tokenizer_of("seanet-even").save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def recordings() -> Path:
    """Three recordings in ``sounds``."""
    Path("sounds").mkdir()
    for number, length in enumerate(LENGTHS):
        wave = noise(1, length, seed=number)[0, 0].numpy()
        soundfile.write(f"sounds/{number}.wav", wave, 1000)
    return Path("sounds")


def test_compress_inspect_decompress(vocabula: Vocabula, run: Path) -> None:
    done = vocabula("compress", run, "sounds", "-o", "all.vcb")
    assert done.code == 0, done.err
    size = Path("all.vcb").stat().st_size
    assert f"wrote all.vcb: 3 recordings, 2,154 -> {size:,} bytes" in done.out
    assert f"{8 * size / 1.011:.4g} bits per second, log-mel distance" in done.out
    done = vocabula("inspect", "all.vcb")
    assert "3 recordings of 1 channel: 1.011 seconds at 1000 Hz, 0.3 to 0.411 each" in done.out
    assert f"{8 * size / 1.011:.4g} per second" in done.out
    done = vocabula("decompress", run, "all.vcb", "-o", "back/*.flac")
    assert done.code == 0, done.err
    back = sorted(Path("back/all").iterdir())
    assert [path.name for path in back] == ["0.flac", "1.flac", "2.flac"]
    assert [soundfile.info(path).frames for path in back] == list(LENGTHS)
    done = vocabula("compress", run, "sounds/0.wav", "-o", "low.vcb", "--target-bpp", 10)
    assert done.code == 2 and "bits per second" in done.err and not Path("low.vcb").exists()


def test_evaluate_and_info_show_rates(vocabula: Vocabula, run: Path) -> None:
    assert vocabula("evaluate", run, "sounds", "--json", "figures.json").code == 0
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["frame_rate"], figures["tokens_per_second"]) == (125, 250)
    assert figures["bits_per_second"] == 1000 and figures["log_mel_distance"] > 0
    shown = " ".join(vocabula("info", run).out.split())
    assert "recordings 1 channel" in shown and "8 samples per code position" in shown
    assert "125 per second, 250 codes" in shown
    assert "8 bits per position, 1000 per second" in shown


@pytest.mark.slow
def test_rate_without_other_codecs(
    vocabula: Vocabula, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    done = vocabula("rate", run, "sounds", "-o", "rates")
    assert done.code == 0, done.err
    assert "Opus is left out: opusenc and opusdec not installed (opus-tools)" in done.out
    assert sorted(p.name for p in Path("rates").iterdir()) == ["rate.csv", "rate.json", "rate.png"]
    found = json.loads(Path("rates/rate.json").read_text())
    assert found["seconds"] == pytest.approx(1.011) and len(found["points"]) == 2
    assert found["soundfile"] == soundfile.__version__
