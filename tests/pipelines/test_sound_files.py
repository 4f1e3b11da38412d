"""Recordings to compressed files and back, in memory and on disk."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.sounds import noise, tokenizer_of

from vocabula import codec
from vocabula.data import DataWarning
from vocabula.errors import CodecError, DataError, OptionError, OutputError
from vocabula.pipelines.compress import COMPRESSION, compress_files
from vocabula.pipelines.decompress import decompress_files

RATE = 1000
TOKENIZER = tokenizer_of("seanet-even")
LENGTHS = {"a.wav": 41, "b/c.flac": 300, "b/d.wav": 1, "b/e.wav": 300}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, (name, length) in enumerate(LENGTHS.items()):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(1, length, seed=seed)[0, 0].numpy(), RATE, subtype="PCM_16")
    return tmp_path / "in"


def samples(path: Path) -> np.ndarray:
    found, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return found


def test_a_folder_to_one_file_and_back(folder: Path) -> None:
    fidelity = COMPRESSION.of("audio")().closeness()
    (written,) = compress_files(TOKENIZER, [folder], "all.vcb", fidelity=fidelity)
    seconds = sum(LENGTHS.values()) / RATE
    assert (written.items, written.unit) == (4, "second")
    assert written.units == pytest.approx(seconds)
    assert written.rate == f"{8 * written.bytes / seconds:.4g} bits per second"
    assert fidelity.words.startswith("log-mel distance ")
    found = codec.inspect("all.vcb")
    assert found.header.names == sorted(LENGTHS)
    for suffix in (".wav", ".flac"):
        out = "out" if suffix == ".wav" else "out-flac/*.flac"
        paths = decompress_files(TOKENIZER, ["all.vcb"], out)
        assert [p.suffix for p in paths] == [suffix] * 4
        for path, name in zip(paths, sorted(LENGTHS), strict=True):
            assert path.with_suffix("") == Path(out.split("/")[0], "all", name).with_suffix("")
            x = torch.from_numpy(samples(folder / name))[None, None]
            wanted = TOKENIZER.reconstruct(x)[0, 0]
            assert len(samples(path)) == LENGTHS[name]
            assert np.abs(samples(path) - wanted.clamp(-1, 1).numpy()).max() <= 1 / 2**15 + 1e-6


def test_a_file_each_mirrors_the_folder(folder: Path) -> None:
    seen: list[int] = []
    written = compress_files(TOKENIZER, [folder], "out", advance=seen.append)
    assert sorted(one.path.relative_to("out").as_posix() for one in written) == [
        "a.vcb", "b/c.vcb", "b/d.vcb", "b/e.vcb",
    ]  # fmt: skip
    assert sum(seen) == 4 == COMPRESSION.of("audio")().count([folder])
    back = decompress_files(TOKENIZER, ["out"], "back")
    assert {p.relative_to("back").as_posix(): len(samples(p)) for p in back} == {
        Path(name).with_suffix(".wav").as_posix(): n for name, n in LENGTHS.items()
    }
    (one,) = decompress_files(TOKENIZER, ["out/a.vcb"], "single.flac")
    assert one == Path("single.flac") and len(samples(one)) == 41
    with pytest.raises(OutputError, match="expected a new output"):
        decompress_files(TOKENIZER, ["out/a.vcb"], "single.flac")
    with pytest.raises(OptionError, match="different names"):  # a file each, in one place
        compress_files(TOKENIZER, [folder / "a.wav", folder / "a.wav"], "twice")


def test_rates_are_bits_per_second(folder: Path) -> None:
    whole = compress_files(TOKENIZER, [folder], "all.vcb")[0]
    cut = compress_files(TOKENIZER, [folder], "cut.vcb", stages=1)[0]
    assert cut.bytes < whole.bytes
    between = 8 * (cut.bytes + whole.bytes) / 2 / whole.units
    limited = compress_files(TOKENIZER, [folder], "limited.vcb", target_bpp=between)[0]
    assert limited.bytes == cut.bytes and codec.inspect("limited.vcb").header.kept == 1
    with pytest.raises(OptionError, match="bits per second"):
        compress_files(TOKENIZER, [folder], "no.vcb", target_bpp=1.0)
    with pytest.raises(OptionError, match="lossless: expected images, got a tokenizer of rec"):
        compress_files(TOKENIZER, [folder], "no.vcb", lossless=True)
    assert not Path("no.vcb").exists()


def test_damaged_recordings_of_a_folder_are_left_out(folder: Path) -> None:
    whole = (folder / "b/c.flac").read_bytes()
    (folder / "b/c.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "b/d.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("no sound")
    with pytest.warns(DataWarning) as warned:
        (written,) = compress_files(TOKENIZER, [folder], "all.vcb")
    assert written.items == 2 and codec.inspect("all.vcb").header.names == ["a.wav", "b/e.wav"]
    assert any("b/d.wav" in str(one.message) for one in warned)
    with pytest.raises(DataError, match="strict"):
        compress_files(TOKENIZER, [folder], "strict.vcb", strict=True)
    with pytest.raises(DataError, match="2 files of 3 that cannot be compressed"):
        names = ["a.wav", "b/d.wav", "missing.wav"]
        compress_files(TOKENIZER, [folder / name for name in names], "named.vcb")
    with pytest.raises(DataError, match="an empty folder"):
        (folder / "empty").mkdir()
        compress_files(TOKENIZER, [folder / "empty"], "empty.vcb")
    assert sorted(p.name for p in Path().iterdir()) == ["all.vcb", "in"]


def test_damage_is_one_error_and_nothing_is_written(folder: Path) -> None:
    compress_files(TOKENIZER, [folder], "all.vcb")
    content = bytearray(Path("all.vcb").read_bytes())
    for place in range(60, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 16
        Path("bad.vcb").write_bytes(damaged)
        with pytest.raises(CodecError, match=r"expected .* got") as raised:
            decompress_files(TOKENIZER, ["bad.vcb"], "out")
        assert "\n" not in str(raised.value) and not Path("out/bad").exists()
    with pytest.raises(CodecError, match="fingerprint"):
        decompress_files(tokenizer_of("seanet-odd"), ["all.vcb"], "out")


@pytest.mark.parametrize("entropy", ["uniform", "adaptive"])
def test_bytes_do_not_depend_on_batches_and_threads(folder: Path, entropy: str) -> None:
    recordings = [torch.from_numpy(samples(folder / name))[None] for name in sorted(LENGTHS)]
    names = sorted(LENGTHS)
    memory = codec.to_bytes(recordings, TOKENIZER, entropy=entropy, names=names)
    compress_files(TOKENIZER, [folder], "one.vcb", entropy=entropy, batch_size=1)
    compress_files(TOKENIZER, [folder], "two.vcb", entropy=entropy, batch_size=64, jobs=2)
    assert Path("one.vcb").read_bytes() == Path("two.vcb").read_bytes() == memory
    cut = io.BytesIO()
    codec.cut(memory, cut, 1)
    shorter = codec.read(cut.getvalue(), TOKENIZER)
    assert [one.shape[1] for one in shorter] == [LENGTHS[name] for name in names]
