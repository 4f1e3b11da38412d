"""Voices exchanged: what is written is what the codes decode to with another attribute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.sounds import noise
from torch import nn

from vocabula.cli.main import main
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

SPEAKERS = ("anna", "ben", "cleo")


def speaking(**decoder: object) -> SignalTokenizer:
    """A tokenizer at 1 kHz whose decoder knows three speakers, with weights that heed them."""
    torch.manual_seed(0)
    frames = {"hop": 8, "window": 20, "hidden": 8, "blocks": 1}
    specs = {
        "signal": {"name": "audio", "sample_rate": 1000},
        "encoder": {"name": "mel", "bands": 6, **frames},
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 16},
        "decoder": {"name": "vocos_film", "given": ["speaker"], **frames, **decoder},
        "likelihood": {"name": "spectral", "windows": (8, 16)},
    }
    known = {"attributes": {"digit": 2, "speaker": 3}, "names": {"speaker": SPEAKERS}}
    tokenizer = build_tokenizer(specs, 1, **known)  # type: ignore[arg-type]
    for module in tokenizer.modules():
        if isinstance(module, nn.Linear) and module.in_features == 8:
            nn.init.normal_(module.weight, std=0.3)
    return tokenizer.eval()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three recordings of 95, 100 and 105 samples and two saved tokenizers."""
    folder = tmp_path_factory.mktemp("convert")
    (folder / "voices").mkdir()
    for number, length in enumerate((95, 100, 105)):
        wave = noise(1, length, seed=number)[0, 0].numpy() / 4
        soundfile.write(folder / "voices" / f"{number}_dora_0.wav", wave, 1000)
    speaking().save_pretrained(folder / "run")
    specs = {"encoder": "vqvae", "decoder": "vqvae"}
    quantizer = {"name": "vector", "dim": 64, "codebook_size": 8}
    build_tokenizer({**specs, "quantizer": quantizer}, 3).save_pretrained(folder / "plain")
    return folder


def run(*words: object) -> int:
    """The exit code of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["vocabula", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.mark.parametrize("spelling", ["--condition", "--set"])
def test_files_are_the_codes_in_another_voice(place: Path, tmp_path: Path, spelling: str) -> None:
    files, tokenizer = sorted((place / "voices").iterdir()), speaking()
    out = tmp_path / "out"
    assert run("convert", place / "run", *files, spelling, "speaker=ben", "-o", out) == 0
    assert [file.name for file in sorted(out.iterdir())] == [file.name for file in files]
    for file in files:
        x = torch.from_numpy(soundfile.read(file, dtype="float32")[0])[None, None]
        codes = tokenizer.encode(x)
        expected, other = (
            tokenizer.decode(codes, Condition({"speaker": torch.tensor([i])}), size=x.shape[2:])
            for i in (1, 0)
        )
        found = soundfile.read(out / file.name, dtype="float32")[0]
        assert len(found) == x.shape[2]
        assert (
            np.abs(found - expected.clamp(-1, 1).detach().numpy()[0, 0]).max() < 1e-4
        )  # of 16 bits
        assert (expected - other).abs().max() > 1e-3


def test_a_folder_or_a_single_file(place: Path, tmp_path: Path) -> None:
    words = ("convert", place / "run", place / "voices", "--condition", "speaker=2", "-o")
    assert run(*words, tmp_path / "all" / "*.flac") == 0
    assert len(list((tmp_path / "all").glob("*.flac"))) == 3
    one = place / "voices" / "1_dora_0.wav"
    single = ("convert", place / "run", one, "--condition", "speaker=cleo", "-o")
    assert run(*single, tmp_path / "one.wav") == 0
    assert soundfile.info(tmp_path / "one.wav").frames == 100


WRONG = {
    "unknown value": ("run", ["speaker=bem"], "one of anna, ben, cleo, got 'bem'; did you mean"),
    "unknown attribute": ("run", ["accent=3"], "accent: expected one of the attributes speaker"),
    "not given": ("run", ["digit=1"], "digit: expected one of the attributes speaker"),
    "no form": ("run", ["speaker"], "--condition: expected NAME=VALUE"),
    "none": ("run", [], "convert: expected a value of speaker, got none"),
    "unconditional": ("plain", ["speaker=ben"], "whose decoder takes attributes, got one that"),
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_is_refused(
    problem: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, settings, message = WRONG[problem]
    more = [word for setting in settings for word in ("--condition", setting)]
    assert run("convert", place / name, place / "voices", *more, "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "out").exists()


def test_the_originals_stay(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--condition", "speaker=ben", "--overwrite", "-o", place / "voices")
    before = {file: file.read_bytes() for file in (place / "voices").iterdir()}
    for inputs in (place / "voices", place / "voices" / "0_dora_0.wav"):
        assert run("convert", place / "run", inputs, *words) == 2
        assert "expected an output apart from the inputs" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in (place / "voices").iterdir()}


def test_a_decoder_that_learned_to_do_without_takes_new_speakers() -> None:
    names, values = {"speaker": ("ben", "dora")}, {"speaker": torch.tensor([0, 1, -1])}
    known = speaking(dropout=0.1).known(values, names)
    assert known is not None and known.attributes["speaker"].tolist() == [1, -1, -1]
    with pytest.raises(Exception, match="one of anna, ben, cleo, got 'dora'"):
        speaking().known(values, names)
