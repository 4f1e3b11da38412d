"""Long recordings pass the commands in parts: the same files, in memory that does not grow."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.sounds import noise, tokenizer_of

from vocabula.codec import batching
from vocabula.data import audio
from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.data.audio_writing import open_sound
from vocabula.data.long_signal import LongSignal
from vocabula.data.token_file import read_tokens
from vocabula.errors import DataError
from vocabula.evaluation import evaluate
from vocabula.pipelines import decode as decoding
from vocabula.pipelines import decode_tokens, encode_dataset
from vocabula.pipelines.compress import COMPRESSION, compress_files
from vocabula.pipelines.convert import convert_signals
from vocabula.pipelines.counts import learn_statistics
from vocabula.pipelines.decompress import decompress_files
from vocabula.tokenizers import tiles

RATE, LONG = 1000, 2000
TOKENIZER = tokenizer_of("frames-causal", conditional=True)
PLAIN = tokenizer_of("frames-causal")
SUFFIXES = [".wav", ".flac", ".ogg"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short and long recordings, at 8 times the rate of the tokenizer, of one and two channels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 512)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 256)
    for suffix in SUFFIXES:
        for name, length in (("a", 999), ("b", 70001), ("c", 1234)):
            path = tmp_path / "in" / suffix[1:] / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            x = 0.5 * noise(1, length, channels=2, seed=length)[0].T.numpy()
            soundfile.write(path, x if name == "b" else x[:, 0], 8 * RATE)
    return tmp_path / "in"


def in_parts(patch: pytest.MonkeyPatch, most: int = LONG) -> None:
    """From now on recordings of more than `most` samples are long."""
    for module in (audio, decoding, batching):
        patch.setattr(module, "LONG_SAMPLES", most)


def opened(folder: Path) -> AudioSource:
    return open_audio(folder, sample_rate=RATE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parts_are_the_samples_of_the_whole(
    folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(monkeypatch)
    source = opened(folder / suffix[1:])
    short, long, last = source.bounded_batches(workers=2)
    assert isinstance(long, LongSignal) and long.paths == [f"b{suffix}"]
    assert short.paths == [f"a{suffix}"] and last.paths == [f"c{suffix}"]
    whole = source.read_whole(1)
    assert long.parts.length == whole.shape[1] == round(70001 / 8)
    for _ in range(2):  # it can be read again
        np.testing.assert_array_equal(long.parts.whole()[0].numpy(), whole)
    assert all(not isinstance(one, LongSignal) for one in source.batches())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_command_writes_what_it_writes_of_the_whole(
    folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = folder / suffix[1:]
    found: dict[bool, list[bytes]] = {}
    for parts in (False, True):
        if parts:
            in_parts(monkeypatch)
        place = Path("parts" if parts else "whole")
        place.mkdir()
        tokens = place / "tokens.parquet"
        encode_dataset(PLAIN, opened(inside), tokens)
        written = decode_tokens(PLAIN, tokens, place / "decoded")
        written += decode_tokens(PLAIN, tokens, place / "flac" / "*.flac")
        compress_files(PLAIN, [inside], place / "all.vcb", fidelity=None)
        written += [place / "all.vcb", *decompress_files(PLAIN, [place / "all.vcb"], place / "un")]
        to = {"speaker": 1}
        written += convert_signals(TOKENIZER, [opened(inside)], place / "conv", attributes=to)
        found[parts] = [path.read_bytes() for path in written]
        records = [record.codes.tobytes() for record in read_tokens(tokens)]
        found[parts] += records
    assert len(found[True]) == 4 * 3 + 1 + 3
    assert found[True] == found[False]


def test_codes_are_counted_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learn_statistics(PLAIN, opened(folder)).counts
    in_parts(monkeypatch)
    for own, wanted in zip(learn_statistics(PLAIN, opened(folder)).counts, whole, strict=True):
        np.testing.assert_array_equal(own, wanted)


def test_figures_are_those_of_the_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(PLAIN, opened(folder), compare_codes=True).to_dict()
    in_parts(monkeypatch)
    parts = evaluate(PLAIN, opened(folder), compare_codes=True).to_dict()
    compared = [figures.pop("codes_compared") for figures in (parts, whole)]
    assert 0 < compared[0] < compared[1]  # of a long recording its first part
    for figures in (whole, parts):
        del figures["seconds"]
    assert_close(parts, whole)


def assert_close(found: object, wanted: object) -> None:
    """Equal, numbers up to the rounding of sums."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict) and found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_close(found[name], value)
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert_close(a, b)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-9)
    else:
        assert found == wanted


def test_compress_measures_parts_of_a_long_recording(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(monkeypatch)
    monkeypatch.setattr("vocabula.pipelines.signal_fidelity.MOST_VALUES", 3000)
    long = [folder / "wav" / "b.wav"]
    some = COMPRESSION.of("audio")().closeness()
    compress_files(PLAIN, long, "some.vcb", fidelity=some)
    assert 0.2 < some.share < 0.4 and some.words.endswith("of them)")
    monkeypatch.setattr("vocabula.pipelines.signal_fidelity.MOST_VALUES", 10**6)
    every = COMPRESSION.of("audio")().closeness()
    compress_files(PLAIN, long, "every.vcb", fidelity=every)
    assert every.share == pytest.approx(1)
    x = torch.from_numpy(opened(folder / "wav").read_whole(1))[None]
    with torch.inference_mode():
        error = float((PLAIN.reconstruct(x) - x).square().mean())
    assert every.figures["mse"] == pytest.approx(error, rel=1e-5)


def cut(path: Path) -> None:
    """Cut a file in the middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    """Write NaN far inside of a file."""
    x = np.zeros(70001, np.float32)
    x[60000] = np.nan
    soundfile.write(path, x, 8 * RATE, subtype="FLOAT", format="WAV")


@pytest.mark.parametrize(("suffix", "damage"), [(".flac", cut), (".wav", spoil)])
def test_a_damaged_long_recording_is_one_error_and_leaves_nothing(
    folder: Path,
    suffix: str,
    damage: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_parts(monkeypatch)
    long = folder / suffix[1:] / f"b{suffix}"
    damage(long)
    (folder.parent / "out").mkdir()
    works: list[Callable[[], object]] = [
        lambda: encode_dataset(PLAIN, opened(long), "out/tokens.parquet"),
        lambda: compress_files(PLAIN, [long], "out/all.vcb"),
        lambda: convert_signals(TOKENIZER, [opened(long)], "out/c", attributes={"speaker": 1}),
        lambda: evaluate(PLAIN, opened(long)),
    ]
    for work in works:
        with pytest.raises(DataError, match=r"damaged|NaN") as error:
            work()
        assert "\n" not in str(error.value)
    assert list(Path("out").iterdir()) == []


def test_of_a_folder_a_damaged_long_recording_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(monkeypatch)
    cut(folder / "flac" / "b.flac")
    with pytest.warns(match="skipped 1 of 3 recordings: b.flac"):
        assert encode_dataset(PLAIN, opened(folder / "flac"), "tokens.parquet") == 2


def test_a_recording_that_changes_meanwhile_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(monkeypatch)
    source = opened(folder / "wav")
    _, long, _ = source.bounded_batches()
    assert isinstance(long, LongSignal)
    soundfile.write(folder / "wav" / "b.wav", np.zeros(60000), 8 * RATE)
    with pytest.raises(DataError, match="expected the 8750 samples that were there before, got 75"):
        long.parts.whole()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, suffix: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with (
            pytest.raises(OSError, match="File too large"),
            open_sound(tmp_path / f"x{suffix}", suffix, RATE, 1, 90000) as write,
        ):
            for seed in range(9):
                x = noise(1, 10000, seed=seed)[0, 0].numpy()
                write((x * 2**15).astype(np.int16)[:, None])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


GROWTH = """
import resource, sys
import numpy as np, soundfile, torch
from vocabula.codec import batching
from vocabula.data import audio
from vocabula.data.audio_opening import open_audio
from vocabula.pipelines import decode_tokens, encode_dataset
from vocabula.pipelines import decode as decoding
from vocabula.pipelines.compress import compress_files
from vocabula.pipelines.convert import convert_signals
from vocabula.pipelines.decompress import decompress_files
from vocabula.tokenizers import build_tokenizer

for module in (audio, decoding, batching):
    module.LONG_SAMPLES = int(sys.argv[1])
frames = {"hop": 160, "window": 400, "hidden": 8, "blocks": 1}

def tokenizer(decoder):
    return build_tokenizer({
        "signal": {"name": "audio", "sample_rate": 8000},
        "encoder": {"name": "mel", "bands": 6, **frames},
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 16},
        "decoder": {"name": decoder, **frames},
        "likelihood": {"name": "spectral", "windows": [64]},
    }, 1, attributes={"speaker": 3}).eval()

plain, other = tokenizer("vocos"), tokenizer("vocos_film")

def peak(minutes):
    name, found = f"{minutes}.wav", []
    with soundfile.SoundFile(name, "w", 8000, 1) as file:
        for _ in range(minutes):
            file.write(np.random.default_rng(0).uniform(-0.5, 0.5, 480000))
    source = open_audio(name, sample_rate=8000)
    for work in (
        lambda: encode_dataset(plain, source, f"{minutes}.parquet"),
        lambda: decode_tokens(plain, f"{minutes}.parquet", f"decoded-{minutes}"),
        lambda: compress_files(plain, [name], f"{minutes}.vcb"),
        lambda: decompress_files(plain, [f"{minutes}.vcb"], f"back-{minutes}"),
        lambda: convert_signals(other, [source], f"to-{minutes}", attributes={"speaker": 1}),
    ):
        work()
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found

first = peak(1)
print(peak(8)[-1] - first[-1])
"""


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root / "src"), str(root)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(2**17)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 32, done.stdout
