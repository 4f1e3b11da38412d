"""Recordings through the command line: train, encode, decode, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from tests.data.recordings import RATE, save, sine
from torch import Tensor, nn

from vocabula.cli.main import main
from vocabula.data import read_tokens
from vocabula.nn import Decoder, Encoder
from vocabula.registry import component

PRESET = """
[signal]
name = "audio"
sample_rate = 8000
[encoder]
name = "wave-cells"
[quantizer]
name = "vector"
dim = 4
codebook_size = 8
[decoder]
name = "wave-cells"
[likelihood]
name = "normal"
[data]
name = "audio"
segment = 0.02
labels = "{digit}_{speaker}_{index}"
[optimizer]
name = "adam"
[training]
steps = 3
batch_size = 4
"""
LENGTHS = (1, 39, 40, 41, 250, 801)


@component("encoder", "wave-cells")
class CellEncoder(Encoder):
    axes: ClassVar[int] = 1

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, 40
        self.layer = nn.Conv1d(in_channels, dim, 40, 40)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@component("decoder", "wave-cells")
class CellDecoder(Decoder):
    axes: ClassVar[int] = 1

    def __init__(self, dim: int, out_channels: int) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, 40
        self.layer = nn.ConvTranspose1d(dim, out_channels, 40, 40)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z)


def run(*words: object) -> int:
    """The exit code of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["vocabula", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings at 16 kHz, a preset and a run on them."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "toy.toml").write_text(PRESET)
    for number, length in enumerate(LENGTHS):
        speaker = ("anna", "ben")[number % 2]
        wave = sine(2 * length, rate=2 * RATE)
        save(folder / "voices" / f"{number % 3}_{speaker}_{number}.wav", wave, 2 * RATE)
    data = folder / "voices"
    assert run("train", data, "--preset", folder / "toy.toml", "-o", folder / "run") == 0
    assert run("encode", folder / "run", data, "-o", folder / "tokens.parquet") == 0
    return folder


def test_decoded_recordings_have_the_lengths_and_names_of_their_originals(place: Path) -> None:
    for out, suffix in (("decoded", ".wav"), ("compressed/*.flac", ".flac")):
        assert run("decode", place / "run", place / "tokens.parquet", "-o", place / out) == 0
        files = sorted((place / out.partition("/")[0]).iterdir())
        assert [file.stem for file in files] == sorted(f.stem for f in (place / "voices").iterdir())
        found = [soundfile.info(file) for file in files]
        assert {info.samplerate for info in found} == {RATE} and files[0].suffix == suffix
        by_number = {int(f.stem[-1]): info.frames for f, info in zip(files, found, strict=True)}
        assert tuple(by_number[number] for number in range(len(LENGTHS))) == LENGTHS


def test_attributes_by_the_pattern_of_the_run_reach_the_tokens(place: Path) -> None:
    tokens = read_tokens(place / "tokens.parquet")
    assert tokens.names == {"class": (), "digit": ("0", "1", "2"), "speaker": ("anna", "ben")}
    speakers = np.concatenate([batch.attributes["speaker"] for batch in tokens.batches()])
    paths = [path for batch in tokens.batches() for path in batch.paths.tolist()]
    assert [("anna", "ben")[s] for s in speakers] == [path.split("_")[1] for path in paths]


def test_evaluate_and_info(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", place / "run", place / "voices") == 0
    assert run("info", place / "run") == 0
    assert "(6 recordings)" in " ".join(capsys.readouterr().out.split())


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of an error, with exit code 2."""
    capsys.readouterr()
    assert run(*words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_the_wrong_kind_of_data_is_one_line_that_names_both(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices, out = place / "voices", place / "never"
    error = refused(capsys, "train", voices, "--preset", "photos", "-o", out)
    assert "expected pictures" in error and "got 6 recordings; recordings are for a token" in error
    for data in ("sample:photos", "sample:digits/test"):
        error = refused(capsys, "encode", place / "run", data, "-o", out)
        assert "expected recordings" in error and "pictures are for a tokenizer of images" in error
    assert not out.exists()


def test_broken_recordings_are_counted_or_refused_and_nothing_is_written(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data" / "0_anna_0.wav", sine(99))
    (tmp_path / "data" / "1_anna_1.wav").write_text("no sound")
    words = ("encode", place / "run", tmp_path / "data", "-o", tmp_path / "x.parquet")
    assert "1_anna_1.wav: no recording by its content" in refused(capsys, *words, "--strict")
    assert not (tmp_path / "x.parquet").exists()
    assert run(*words) == 0
    told = capsys.readouterr()
    assert told.err.count("skipped 1 of 2 recordings") == 1 and "encoded 1 recording" in told.out
    many = ("decode", place / "run", place / "tokens.parquet", "-o", tmp_path / "one.wav")
    assert "expected one recording for the name of a file, got 6" in refused(capsys, *many)
    assert run("decode", place / "run", tmp_path / "x.parquet", "-o", tmp_path / "one.wav") == 0
    assert soundfile.info(tmp_path / "one.wav").frames == 99


def test_a_pattern_that_fits_no_name_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", place / "voices", "--preset", place / "toy.toml", "-o", place / "never")
    assert "expected names like" in refused(capsys, *words, "data.labels={a}-{b}")
    assert "data.labels: expected different attr" in refused(capsys, *words, "data.labels={a}{b}")
    assert not (place / "never").exists()


def test_units_beside_an_alignment_in_figures_and_on_a_page(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [(n, f"{n % 3}_{('anna', 'ben')[n % 2]}_{n}.wav") for n in range(len(LENGTHS))]
    rows = [f"{name},0,{LENGTHS[n] / RATE},{'ab'[n % 2]}" for n, name in said]
    table, page = tmp_path / "said.csv", tmp_path / "page.html"
    table.write_text("\n".join(["path,start,end,label", *rows]))
    words = (place / "run", place / "voices", "--alignment", table)
    assert run("evaluate", *words, "--json", tmp_path / "figures.json") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "phone purity" in shown and "PNMI, no silence" in shown
    units = json.loads((tmp_path / "figures.json").read_text())["units"]
    frames = [len(range(20, length, 40)) for length in LENGTHS]  # 40 samples a frame, by middles
    assert units["with_silence"]["frames"] == sum(frames) == np.sum(units["counts"])
    assert np.sum(units["counts"], axis=0).tolist() == [sum(frames[::2]), sum(frames[1::2])]
    assert run("report", *words, "-o", page) == 0
    text = page.read_text()
    assert 'id="units"' in text and "label, most frequent first" in text
    table.write_text("path,start,end,label\nelse.wav,0,1,a\n")
    assert "expected segments of 0_anna_0.wav" in refused(capsys, "evaluate", *words)
    table.write_text("path,start,end\n")
    assert "expected one column label, got none" in refused(capsys, "evaluate", *words)
