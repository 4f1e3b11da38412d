"""`vocabula sample` and `complete` of recordings: lengths, windows, one line for bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from priors.generators import save_generator
from vocabula.data import read_tokens
from vocabula.priors import CodeGrid, Generator, TransformerPrior
from vocabula.priors.condition import Conditioning
from vocabula.priors.durations import Durations
from vocabula.priors.origin import Origin
from vocabula.tokenizers import build_tokenizer

RATE = 100
NETS = {"ratios": [2, 5], "hidden": 4}
SETTINGS = {
    "signal": {"name": "audio", "sample_rate": RATE},
    "encoder": {"name": "seanet", **NETS},
    "quantizer": {
        "name": "residual",
        "stages": [{"name": "vector", "dim": 4, "codebook_size": 8} for _ in range(2)],
    },
    "decoder": {"name": "seanet", **NETS},
    "likelihood": {"name": "spectral", "windows": [16]},
}
"""A recording of a second has 10 positions of two books."""


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior of recordings of 0.3 to 0.8 s by two speakers."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(SETTINGS, channels=1).eval()
    known = Conditioning(attributes={"speaker": 2}, timing=8)
    made = TransformerPrior(
        CodeGrid((8, 8), (8,)), known, hidden=16, layers=1, heads=2, dropout=0.0
    )
    lengths = Durations(("speaker",), ((0, 3, 2), (1, 5, 1), (1, 8, 1)))
    names = {"speaker": ("anna", "ben")}
    made.origin = Origin(tokenizer.fingerprint(), names, durations=lengths)
    folder = tmp_path_factory.mktemp("sound")
    save_generator(folder / "prior", Generator(tokenizer, [made]))
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 75)
    soundfile.write(folder / "voice.wav", wave, RATE)
    return folder / "prior"


def frames(folder: Path) -> list[int]:
    return [soundfile.info(file).frames for file in sorted(folder.glob("*.wav"))]


def test_samples_are_as_long_as_recordings_of_the_speaker(
    vocabula: Callable, prior: Path, tmp_path: Path
) -> None:
    words = ("sample", prior, "--set", "speaker=anna,ben", "--seed", 0)
    done = vocabula(*words, "-n", 12, "-o", "out", "--codes", "codes.parquet")
    assert (done.code, done.out.splitlines()[0]) == (0, "drew 12 recordings with seed 0: out")
    found = frames(tmp_path / "out")
    assert set(found[::2]) == {30} and set(found[1::2]) == {50, 80}
    codes = list(read_tokens(tmp_path / "codes.parquet"))
    assert [10 * len(record.codes) for record in codes] == found
    assert vocabula(*words, "-n", 4, "--batch-size", 1, "-o", "some").code == 0
    for name in ("00001-ben.wav", "00002-anna.wav"):
        one, two = (soundfile.read(tmp_path / folder / name)[0] for folder in ("out", "some"))
        np.testing.assert_allclose(one, two, atol=2e-4)


def test_samples_of_a_length_and_longer_ones_in_windows(
    vocabula: Callable, prior: Path, tmp_path: Path
) -> None:
    assert vocabula("sample", prior, "-n", 2, "--seconds", 0.62, "-o", "out").code == 0
    assert frames(tmp_path / "out") == [62, 62]
    long = ("sample", prior, "-n", 1, "--seconds", 3, "-o", "long.wav")
    done = vocabula(*long)
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert "expected at most 0.8 seconds, the context" in done.err and "--overlap 0.5" in done.err
    assert not (tmp_path / "long.wav").exists()
    assert vocabula(*long, "--overlap", 0.5).code == 0
    assert soundfile.info(tmp_path / "long.wav").frames == 300


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--seconds", 0), "--seconds: expected at least one element, 0.01 seconds"),
        (("--seconds", "nan"), "--seconds: expected at least one element"),
        (("--seconds", 3, "--overlap", 1), "sample.overlap: expected a share"),
        (("--set", "pitch=1"), "pitch"),
        (("--set", "speaker=carl"), "anna, ben"),
        (("--size", "8x8"), "size: expected"),
    ],
)
def test_bad_samples_are_one_line(
    vocabula: Callable, prior: Path, tmp_path: Path, words: tuple[object, ...], expected: str
) -> None:
    done = vocabula("sample", prior, "-n", 1, *words, "-o", "x.wav")
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert expected in done.err and not (tmp_path / "x.wav").exists()


def test_recordings_are_continued(vocabula: Callable, prior: Path, tmp_path: Path) -> None:
    words = ("complete", prior, prior.parent / "voice.wav", "--keep", "first:0.35", "--seed", 1)
    done = vocabula(*words, "-n", 2, "--paste", "--set", "speaker=ben", "-o", "out")
    assert done.code == 0
    assert frames(tmp_path / "out") == [75, 75]
    original = soundfile.read(prior.parent / "voice.wav")[0]
    first, second = (soundfile.read(f)[0] for f in sorted((tmp_path / "out").glob("*.wav")))
    np.testing.assert_allclose(first[:30], original[:30], atol=2e-4)
    assert not np.allclose(first[40:], second[40:], atol=1e-3)
    assert vocabula(*words, "-n", 1, "--seconds", 2, "--overlap", 0.5, "-o", "long").code == 0
    assert frames(tmp_path / "long") == [200]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--keep", "top:0.5"), "--keep: expected first:N, the first N seconds"),
        (("--keep", "first:0"), "--keep: expected first:N"),
        (("--keep", "first:0.05"), "at least one whole code, 0.1 seconds"),
        (("--keep", "first:2"), "voice.wav: expected at least 2 seconds"),
        (("--keep", "first:0.5", "--seconds", 0.4), "expected something left to draw"),
        (("--keep", "first:0.5", "--seconds", 4), "--overlap 0.5"),
        ((), "--keep: expected first:N"),
    ],
)
def test_bad_continuations_are_one_line(
    vocabula: Callable, prior: Path, tmp_path: Path, words: tuple[object, ...], expected: str
) -> None:
    done = vocabula("complete", prior, prior.parent / "voice.wav", *words, "-o", "out")
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert expected in done.err and not (tmp_path / "out").exists()
