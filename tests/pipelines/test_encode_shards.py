"""Sharded encoding: equal to one process, byte for byte, whatever happens on the way."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image
from tests.data.tars import tar

from processes import FORKED
from sounds import tokenizer_of
from vocabula.data import Cut, open_data, open_source, read_tokens
from vocabula.data.cropped import CroppedSource
from vocabula.errors import DataError, Interrupted, OptionError, OutputError, TokensError
from vocabula.pipelines import encode_dataset, encode_shards
from vocabula.pipelines.shard_encoder import ShardEncoder
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

Make = Callable[..., SignalTokenizer]
SHARDS = 4

pytestmark = pytest.mark.filterwarnings("ignore:.*(skipped|left out)")


def noise(folder: Path, number: int) -> Path:
    """A picture of noise, of one of three sizes."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 255, (12 + 4 * (number % 3), 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place := folder / f"{number:03}.png")
    return place


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of pictures; one of them is broken behind its header."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(15):
        noise(tmp_path / "photos" / ("cat" if number < 6 else "dog"), number)
    whole = (tmp_path / "photos/dog/010.png").read_bytes()
    (tmp_path / "photos/dog/010b.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "photos"


def content(folder: Path) -> dict[str, bytes]:
    """All that a folder of tokens holds, apart from the dates in the plan."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def paths(folder: Path) -> list[str]:
    """The paths of the parts and of the tables of broken signals."""
    tables = [*folder.glob("part-*"), *folder.glob("broken-*")]
    return sorted(path for t in tables for path in pq.read_table(t)["path"].to_pylist())


def vectors() -> SignalTokenizer:
    """A tokenizer of vectors of width 5."""
    torch.manual_seed(0)
    sections = {
        "signal": {"name": "vector", "channels": 5},
        "encoder": "identity",
        "quantizer": {"name": "vector", "dim": 5, "codebook_size": 8},
        "decoder": "identity",
        "likelihood": "normal",
    }
    return build_tokenizer(sections, 5).eval()


def tables(folder: Path, column: str, rows: list[Any]) -> Path:
    """Two parquet files of structs of bytes, in row groups of three."""
    folder.mkdir()
    table = pa.table({column: [{"bytes": b, "path": p} for b, p in rows], "label": ["b", "a"] * 6})
    for number in range(2):
        part = table.slice(number * 7, 7 - 2 * number)
        pq.write_table(part, folder / f"train-{number}.parquet", row_group_size=3)
    return folder


def case(kind: str, folder: Path, make: Make) -> tuple[SignalTokenizer, str, dict[str, Any]]:
    """A tokenizer, data of its kind and options of the data."""
    rng = np.random.default_rng(0)
    if kind == "rows of pictures":
        rows = [(noise(folder, n).read_bytes(), f"{n}.png") for n in range(12)]
        return make(), str(tables(folder / "tables", "image", rows)), {}
    if kind == "tars of pictures":
        for shard, count in enumerate((7, 5)):
            pairs = [(f"{shard}{n}.png", noise(folder, n).read_bytes()) for n in range(count)]
            pairs += [(f"{shard}{n}.cls", b"%d" % (n % 2)) for n in range(count)]
            tar(folder / f"tars/{shard}.tar", dict(pairs))
        return make(), str(folder / "tars/{0..1}.tar"), {}
    if kind == "array of pictures":
        images = rng.integers(0, 255, (9, 8, 8, 3), dtype=np.uint8)
        np.savez(folder / "images.npz", images=images, labels=np.arange(9) % 2)
        return make(), str(folder / "images.npz"), {}
    if kind == "vectors":
        rows = rng.normal(size=(11, 5)).astype(np.float32)
        rows[4, 2] = np.nan
        np.save(folder / "rows.npy", rows)
        return vectors(), str(folder / "rows.npy"), {}
    files = []
    (folder / "voices").mkdir()
    for n in range(12):
        files.append(folder / "voices" / f"{n}_{'ab'[n % 2]}.wav")
        soundfile.write(files[-1], rng.uniform(-0.5, 0.5, 200 + 40 * n), 1000)
    if kind == "recordings":
        files[3].write_bytes(b"RIFF")
        return tokenizer_of("seanet-even"), str(folder / "voices"), {"labels": "{digit}_{speaker}"}
    if kind == "tars of recordings":
        about = {f"{file.stem}.json": f'{{"speaker": "{file.stem[-1]}"}}' for file in files}
        recordings = {file.name: file.read_bytes() for file in files}
        tar(folder / "voices.tar", recordings | about)
        return tokenizer_of("seanet-even"), str(folder / "voices.tar"), {}
    rows = [(file.read_bytes(), None) for file in files]
    return tokenizer_of("seanet-even"), str(tables(folder / "tables", "audio", rows)), {}


KINDS = ["rows of pictures", "array of pictures", "vectors", "recordings", "rows of recordings"]
KINDS += ["tars of pictures", "tars of recordings"]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_hold_what_one_process_writes(
    kind: str, tmp_path: Path, make_tokenizer: Make
) -> None:
    tokenizer, data, options = case(kind, tmp_path, make_tokenizer)
    whole, out = tmp_path / "all.parquet", tmp_path / "tokens"
    encode_dataset(tokenizer, open_data(tokenizer.signal, data, **options), whole)
    first = encode_shards(
        tokenizer, data, out, shards=SHARDS, worker=(1, 2), options=options, most_broken=0.5
    )
    assert (first.finished, first.complete) == (2, False)
    rest = encode_shards(tokenizer, data, out, shards=SHARDS, options=options, most_broken=0.5)
    assert rest.complete and not list(out.glob(".*"))
    wanted, found = read_tokens(whole), read_tokens(out)
    assert first.signals + rest.signals == len(found) == len(wanted)
    assert found.names == wanted.names and found.source == wanted.source
    for one, other in zip(found, wanted, strict=True):
        assert (one.path, one.label, one.extent) == (other.path, other.label, other.extent)
        assert one.attributes == other.attributes
        assert all((a == b).all() for a, b in zip(one.levels, other.levels, strict=True))


def test_parts_may_be_tars(photos: Path, tmp_path: Path, make_tokenizer: Make) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    options: dict[str, Any] = {"shards": SHARDS, "format": "webdataset"}
    encode_shards(tokenizer, photos, out, worker=(1, 2), **options)
    for name in ("part-00001.tar", "part-00003.tar"):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(whole[: len(whole) - 700])
    assert encode_shards(tokenizer, photos, out, **options).complete
    encode_shards(tokenizer, photos, tmp_path / "tables", shards=SHARDS)
    found, wanted = read_tokens(out), read_tokens(tmp_path / "tables")
    assert len(found) == 15 and found.names == wanted.names
    for one, other in zip(found, wanted, strict=True):
        assert (one.path, one.label, one.extent) == (other.path, other.label, other.extent)
        np.testing.assert_array_equal(one.codes, other.codes)
    before = content(out)
    assert encode_shards(tokenizer, photos, out, **options).signals == 0
    assert content(out) == before and len(list(out.glob("part-*.tar"))) == SHARDS
    with pytest.raises(OptionError, match="expected --format webdataset, as the plan says, got"):
        encode_shards(tokenizer, photos, out, shards=SHARDS)
    with pytest.raises(OptionError, match="--format: expected parquet or webdataset, got zip"):
        encode_shards(tokenizer, photos, out, shards=SHARDS, format="zip")
    whole = (out / "part-00002.tar").read_bytes()
    (out / "part-00002.tar").write_bytes(whole.replace(b"dog/", b"fox/", 1))
    with pytest.raises(TokensError, match=r"part-00002\.tar: .*one that was changed since"):
        encode_shards(tokenizer, photos, out, **options)


def test_squares_are_cut_where_one_process_cuts_them(
    photos: Path, tmp_path: Path, make_tokenizer: Make
) -> None:
    tokenizer, cut = make_tokenizer(), Cut(crop=8, crops=3, seed=5)
    source = CroppedSource(open_source(photos), cut)
    encode_dataset(tokenizer, source, tmp_path / "all.parquet")
    encode_shards(tokenizer, photos, tmp_path / "tokens", shards=SHARDS, cut=cut, most_broken=0.5)
    wanted, found = (
        list(read_tokens(tmp_path / "all.parquet")),
        list(read_tokens(tmp_path / "tokens")),
    )
    assert [one.path for one in found] == [one.path for one in wanted]
    assert all((a.codes == b.codes).all() for a, b in zip(found, wanted, strict=True))
    assert len(set(paths(tmp_path / "tokens"))) == 16 * 3


def test_manifest_and_broken(photos: Path, tmp_path: Path, make_tokenizer: Make) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    (photos / "dog/header.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    encode_shards(tokenizer, photos, out, shards=SHARDS)
    told = json.loads((out / "manifest.json").read_text())
    assert (told["signals"], told["broken"]) == (15, 2)
    assert told["fingerprint"] == tokenizer.fingerprint()
    assert [part["signals"] for part in told["parts"]] == [4, 4, 3, 4]  # one of 16 is broken
    assert len(paths(out)) == len(set(paths(out))) == 17
    reasons = pq.read_table(out / "broken-00002.parquet").to_pylist()
    assert [row["path"] for row in reasons] == ["dog/010b.png"] and "truncated" in reasons[0][
        "reason"
    ]
    written = (out / "manifest.json").stat().st_mtime_ns
    again = encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert again.complete and again.signals == 0
    assert (out / "manifest.json").stat().st_mtime_ns == written  # all is as it says
    (out / "part-00001.parquet").unlink()
    encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert (out / "manifest.json").stat().st_mtime_ns > written
    assert json.loads((out / "manifest.json").read_text()) == told


class Killed(BaseException):
    """Stands for the end of a process."""


def test_any_interruption_ends_in_the_same_bytes(
    photos: Path, tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer()
    encode_shards(tokenizer, photos, tmp_path / "whole", shards=SHARDS)
    out, drawn = tmp_path / "tokens", random.Random(0)
    calls = {name: getattr(os, name) for name in ("replace", "fsync", "link")}
    ends = 0
    while True:
        left = count(drawn.randrange(1, 9), -1)

        def counted(call: Callable[..., Any], left: count[int] = left) -> Callable[..., Any]:
            def run(*words: Any) -> Any:
                if next(left) == 0:
                    raise Killed
                return call(*words)

            return run

        for name, call in calls.items():
            monkeypatch.setattr(os, name, counted(call))
        try:
            encode_shards(tokenizer, photos, out, shards=SHARDS)
        except Killed:
            ends += 1
            (out / ".part-00000.parquet.0a1b2c3d.part").write_bytes(b"PAR1")  # a kill leaves such
            continue
        break
    assert ends >= 3
    assert content(out) == content(tmp_path / "whole")


def work(words: dict[str, Any]) -> None:
    """A process that encodes all shards, each of its files slowly enough to be killed."""
    tokenizer = SignalTokenizer.from_pretrained(words["run"])
    encode_shards(tokenizer, words["data"], words["out"], shards=SHARDS)


def test_two_processes_of_which_one_is_killed(
    photos: Path, tmp_path: Path, make_tokenizer: Make
) -> None:
    tokenizer, drawn = make_tokenizer(), random.Random(1)
    tokenizer.save_pretrained(tmp_path / "run")
    encode_shards(tokenizer, photos, tmp_path / "whole", shards=SHARDS)
    words = {"run": str(tmp_path / "run"), "data": str(photos), "out": str(tmp_path / "tokens")}
    steady = FORKED.Process(target=work, args=(words,))
    steady.start()
    for _ in range(3):
        other = FORKED.Process(target=work, args=(words,))
        other.start()
        time.sleep(drawn.uniform(0.1, 0.4))
        other.kill()
        other.join()
    steady.join()
    assert steady.exitcode == 0
    encode_shards(tokenizer, photos, tmp_path / "tokens", shards=SHARDS)
    assert content(tmp_path / "tokens") == content(tmp_path / "whole")


def test_full_disk(
    photos: Path, tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    encode_shards(tokenizer, photos, tmp_path / "whole", shards=SHARDS)
    write, calls = pq.ParquetWriter.write_table, count()

    def full(*words: Any, **more: Any) -> None:
        if next(calls) == 4:  # the plan, two parts and a table of broken signals are written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*words, **more)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OutputError, match=r"part-00002.*No space left.*free some space"):
        encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert len(list(out.glob("part-*"))) == 2 and not list(out.glob(".*"))
    encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert content(out) == content(tmp_path / "whole")


@pytest.fixture
def finished(photos: Path, tmp_path: Path, make_tokenizer: Make) -> tuple[SignalTokenizer, Path]:
    """A tokenizer and its finished parts of the photos."""
    tokenizer = make_tokenizer()
    encode_shards(tokenizer, photos, tmp_path / "tokens", shards=SHARDS)
    return tokenizer, tmp_path / "tokens"


def test_damaged_and_missing_parts_are_made_again(
    finished: tuple[SignalTokenizer, Path], photos: Path
) -> None:
    tokenizer, out = finished
    before = content(out)
    for name, size in (("part-00001.parquet", 1000), ("part-00003.parquet", 0)):
        with open(out / name, "rb+") as file:
            file.truncate(size)
    (out / "part-00002.parquet").unlink()
    with pytest.raises(
        TokensError, match=r"all parts.*got 3 of 4 parts; run vocabula encode again"
    ):
        read_tokens(out)
    found = encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert found.signals == 11 and content(out) == before
    for part in out.glob("part-*"):  # a copy has other dates, and the same content
        os.utime(part)
    assert encode_shards(tokenizer, photos, out, shards=SHARDS).signals == 0


def test_edited_and_foreign_parts_are_refused(
    finished: tuple[SignalTokenizer, Path], photos: Path, tmp_path: Path, make_tokenizer: Make
) -> None:
    tokenizer, out = finished
    part, kept = out / "part-00001.parquet", out / "part-00003.parquet"
    own = part.read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(TokensError, match=match):
            encode_shards(tokenizer, photos, out, shards=SHARDS)
        assert kept.exists()

    table = pq.read_table(part)
    pq.write_table(table.set_column(5, "label", pa.array([7] * len(table))), part)
    refused(r"part-00001.*one that was changed since; remove the file")
    encode_shards(tokenizer, photos, tmp_path / "other", shards=SHARDS, batch_size=2)
    shutil.copy(tmp_path / "other/part-00001.parquet", part)
    refused("one of another plan")
    encode_shards(make_tokenizer(seed=1), photos, tmp_path / "third", shards=SHARDS)
    shutil.copy(tmp_path / "third/part-00001.parquet", part)
    refused("one of another tokenizer")
    part.write_bytes(own)
    shutil.copy(part, out / "part-00009.parquet")
    refused("a shard above 3")


def test_options_must_fit_the_plan(
    finished: tuple[SignalTokenizer, Path], photos: Path, make_tokenizer: Make, tmp_path: Path
) -> None:
    tokenizer, out = finished
    with pytest.raises(OptionError, match=r"--shards 4, as the plan says, got 5"):
        encode_shards(tokenizer, photos, out, shards=5)
    with pytest.raises(TokensError, match="the plan of tokenizer"):
        encode_shards(make_tokenizer(seed=1), photos, out, shards=SHARDS)
    with pytest.raises(OptionError, match=r"at most 16, a signal for each, got 17"):
        encode_shards(tokenizer, photos, tmp_path / "new", shards=17)
    with pytest.raises(OptionError, match=r"I from 0 to N - 1, got 3/2"):
        encode_shards(tokenizer, photos, out, shards=SHARDS, worker=(3, 2))
    with pytest.raises(OptionError, match="single worker"):
        encode_shards(tokenizer, photos, out, shards=SHARDS, worker=(0, 2), overwrite=True)
    foreign = photos / "dog"
    (foreign / "part-00000.parquet").write_bytes(b"not ours")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="expected a new output"):
            encode_shards(tokenizer, photos, foreign, shards=SHARDS, overwrite=overwrite)
    (foreign / "part-00000.parquet").unlink()
    found = encode_shards(tokenizer, photos, out, shards=2, overwrite=True)
    assert found.complete and len(list(out.glob("part-*"))) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda photos: noise(photos / "dog", 99), r"got .*099.png too; encode what is new apart"),
        (lambda photos: (photos / "dog/014.png").unlink(), r"none at .*014.png; bring it back"),
        (lambda photos: (photos / "dog/014.png").write_bytes(b"GIF89a"), "got 6 bytes; bring"),
        (lambda photos: os.utime(photos / "dog/014.png"), "a file written later or earlier"),
    ],
    ids=["grew", "vanished", "changed", "touched"],
)
def test_changed_inputs(
    photos: Path,
    tmp_path: Path,
    make_tokenizer: Make,
    change: Callable[[Path], object],
    words: str,
) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    encode_shards(tokenizer, photos, out, shards=SHARDS, worker=(0, 2))
    change(photos)
    with pytest.raises(DataError, match=words):
        encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert {path.name for path in out.glob("part-*")} >= {
        "part-00000.parquet",
        "part-00002.parquet",
    }


def test_a_shard_that_fails_is_set_aside(
    photos: Path, tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    encode, tries = ShardEncoder.encode, []

    def failing(self: ShardEncoder, number: int, *more: Any) -> None:
        tries.append(number)
        if number == 1:
            raise RuntimeError("the device is gone")
        encode(self, number, *more)

    monkeypatch.setattr(ShardEncoder, "encode", failing)
    with pytest.raises(
        DataError, match=r"1 shard set aside after 3 tries: 1 \(the device is gone\)"
    ):
        encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert tries == [0, 1, 2, 3, 1, 1]
    assert json.loads((out / "failed-00001.json").read_text())["reason"] == "the device is gone"
    with pytest.raises(TokensError, match=r"3 of 4 parts \(failed-00001.json says why"):
        read_tokens(out)
    assert len(read_tokens(out / "part-*.parquet")) == 11
    monkeypatch.undo()
    encode_shards(tokenizer, photos, out, shards=SHARDS)
    assert not list(out.glob("failed-*")) and (out / "manifest.json").exists()


def test_failed_tries_are_counted_over_starts(
    photos: Path, tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, out, tries = make_tokenizer(), tmp_path / "tokens", list[int]()

    def start(until: int) -> None:
        """One start that ends after so many tries of shard 1, as if it were killed."""
        own = list[int]()

        def failing(self: ShardEncoder, number: int, *more: Any) -> None:
            if len(own) == until:
                raise Killed
            if number == 1:
                own.append(number)
                tries.append(number)
                raise RuntimeError("the device is gone")
            encode(self, number, *more)

        monkeypatch.setattr(ShardEncoder, "encode", failing)
        encode_shards(tokenizer, photos, out, shards=SHARDS)

    encode = ShardEncoder.encode
    for _ in range(2):
        with pytest.raises(Killed):
            start(until=1)
    with pytest.raises(DataError, match="set aside after 3 tries: 1 "):
        start(until=9)
    assert len(tries) == 3
    with pytest.raises(DataError, match="set aside after 4 tries: 1 "):
        start(until=9)
    assert len(tries) == 4


def test_too_many_broken_signals(photos: Path, tmp_path: Path, make_tokenizer: Make) -> None:
    for number in (11, 12):
        (photos / f"dog/0{number}.png").write_bytes((photos / "dog/010b.png").read_bytes())
    with pytest.raises(DataError, match=r"at most 0.25 of 4 signals.*got 2.*dog/011.png.*--max-br"):
        encode_shards(make_tokenizer(), photos, tmp_path / "a", shards=SHARDS, most_broken=0.25)
    encode_shards(make_tokenizer(), photos, tmp_path / "b", shards=SHARDS, most_broken=1)
    assert len(paths(tmp_path / "b")) == 16


def test_ctrl_c_says_what_is_kept(
    photos: Path, tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ShardEncoder.encode

    def stopped(self: ShardEncoder, number: int, *more: Any) -> None:
        if number == 2:
            raise KeyboardInterrupt
        encode(self, number, *more)

    monkeypatch.setattr(ShardEncoder, "encode", stopped)
    with pytest.raises(Interrupted, match="2 of 4 parts finished and kept"):
        encode_shards(make_tokenizer(), photos, tmp_path / "tokens", shards=SHARDS)


def test_parts_of_different_encodings_do_not_mix(
    finished: tuple[SignalTokenizer, Path], photos: Path, tmp_path: Path, make_tokenizer: Make
) -> None:
    _, out = finished
    other = tmp_path / "mixed"
    other.mkdir()
    shutil.copy(out / "part-00000.parquet", other / "a.parquet")
    encode_dataset(make_tokenizer(seed=1), open_source(photos), other / "b.parquet")
    with pytest.raises(TokensError, match=r"b.parquet: expected the fingerprint of a.parquet"):
        read_tokens(other)
