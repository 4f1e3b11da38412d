"""What goes wrong under ``vocabula compress`` and ``decompress``, in processes of their own."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from processes import Program
from vocabula import codec
from vocabula.codec.layout import ModelId
from vocabula.tokenizers import load

Vocabula = Callable[..., Any]
MAIN = "import sys; from vocabula.cli.main import main; sys.argv[0] = 'vocabula'; main()"
LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
{MAIN}
"""

SLOW = f"""
import os, time
sync = os.fsync
os.fsync = lambda file: (time.sleep(0.1), sync(file))
{MAIN}
"""


WORDS = ("compress", "decompress")


def picture(path: Path, seed: int = 0, side: int = 16, mode: str = "RGB") -> Path:
    """A picture of noise."""
    shape = (side, side, len(mode)) if mode != "L" else (side, side)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def parts(folder: Path) -> list[str]:
    """Whatever is in a folder but pictures."""
    return sorted(p.name for p in folder.iterdir() if p.suffix not in (".png", ".bmp"))


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line(saved: Path, tmp_path: Path) -> None:
    """No file may be longer than 600 bytes, which stands for a disk without room."""
    small = [picture(tmp_path / f"{i}.png", i) for i in range(2)]
    large = picture(tmp_path / "9.png", 9, side=200)
    before = large.read_bytes()
    done = Program(LIMITED, 600, "compress", saved / "run", *small, large, "--jobs", 1).wait()
    assert done.code == 2, done.errors
    assert one_line(done.errors) and "9.vcb" in done.errors and "free some space" in done.errors
    assert parts(tmp_path) == ["0.vcb", "1.vcb"]
    assert large.read_bytes() == before


@pytest.mark.slow
def test_a_full_disk_under_decompress_ends_in_one_line(
    vocabula: Vocabula, saved: Path, tmp_path: Path
) -> None:
    pictures = [picture(tmp_path / "a.png"), picture(tmp_path / "b.png", 1, side=200)]
    assert vocabula("compress", saved / "run", *pictures).code == 0
    words = ("decompress", saved / "run", "a.vcb", "b.vcb", "-o", "out")
    done = Program(LIMITED, 2000, *words).wait()
    assert done.code == 2, done.errors
    assert one_line(done.errors) and "b.png" in done.errors
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_finished_stays_when_the_work_is_stopped(
    saved: Path, tmp_path: Path, how: signal.Signals
) -> None:
    pictures = [picture(tmp_path / f"{i:03}.png", i, side=40) for i in range(40)]
    pictures += [tmp_path / f"{i:03}.png" for i in range(40, 500)]
    for path in pictures[40:]:
        path.symlink_to(pictures[0])
    words = ("compress", saved / "run", *pictures, "-o", tmp_path / "out", "--batch-size", 1)
    process = Program(SLOW, *words)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "out").glob("*.vcb")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    done = process.wait()
    finished = sorted((tmp_path / "out").glob("*.vcb"))
    assert 0 < len(finished) < 500
    for path in finished:
        assert codec.inspect(path).signals == 1
    if how != signal.SIGKILL:
        assert done.code == 2
        assert one_line(done.errors) and "finished outputs are kept" in done.errors
        assert len(list((tmp_path / "out").iterdir())) == len(finished)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_one_file_of_all_is_whole_or_absent(
    saved: Path, tmp_path: Path, how: signal.Signals
) -> None:
    picture(tmp_path / "0.png", side=40)
    pictures = [tmp_path / f"{i}.png" for i in range(1000)]
    for path in pictures[1:]:
        path.symlink_to(pictures[0])
    words = ("compress", saved / "run", *pictures, "-o", tmp_path / "all.vcb", "--batch-size", 1)
    process = Program(SLOW, *words)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob(".all.vcb.*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    done = process.wait()
    assert not (tmp_path / "all.vcb").exists()
    if how == signal.SIGINT:
        assert done.code == 2 and one_line(done.errors)
        assert parts(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 32 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ("-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk))
    if shutil.which("mount") is None or subprocess.run(["mount", *options]).returncode:
        pytest.skip("mounting a disk is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_real_full_disk(
    vocabula: Vocabula, saved: Path, tmp_path: Path, small_disk: Path
) -> None:
    """It has room for 8 files of a block each."""
    pictures = [picture(tmp_path / f"{i:02}.png", i) for i in range(20)]
    before = [path.read_bytes() for path in pictures]
    done = vocabula("compress", saved / "run", *pictures, "-o", small_disk)
    assert done.code == 2 and one_line(done.err) and "free some space" in done.err
    finished = sorted(small_disk.iterdir())
    assert 0 < len(finished) < 20 and not [p for p in finished if p.suffix != ".vcb"]
    assert all(codec.inspect(path).signals == 1 for path in finished)
    assert [path.read_bytes() for path in pictures] == before
    for path in finished:
        path.unlink()
    large = picture(tmp_path / "large.png", 1, side=1200)
    done = vocabula("compress", saved / "run", large, "-o", small_disk / "all.vcb")
    assert done.code == 2 and one_line(done.err) and "free some space" in done.err
    assert list(small_disk.iterdir()) == []
    small = codec.write_codes(small_disk / "x", [np.zeros((2, 2), int)], [4])
    assert vocabula("compress", saved / "run", large, "-o", tmp_path / "all.vcb").code == 0
    done = vocabula("decompress", saved / "run", tmp_path / "all.vcb", "-o", small_disk / "y.png")
    assert done.code == 2 and one_line(done.err) and "free some space" in done.err
    assert [(path.name, path.stat().st_size) for path in small_disk.iterdir()] == [("x", small)]


def test_inputs_are_never_written_over(vocabula: Vocabula, saved: Path, tmp_path: Path) -> None:
    """A picture may have any name, also that of the output."""
    picture(tmp_path / "a.png").rename("a.vcb")
    Path("link.vcb").symlink_to("a.vcb")
    before = Path("a.vcb").read_bytes()
    run = saved / "run"
    for words in (("a.vcb",), ("a.vcb", "-o", "link.vcb"), ("link.vcb", "-o", "a.vcb")):
        done = vocabula("compress", run, *words, "--overwrite")
        assert done.code == 2 and one_line(done.err) and "apart from the inputs" in done.err
    assert vocabula("compress", run, "a.vcb", "-o", "b.png").code == 0
    small = Path("b.png/a.vcb").rename("c.png").read_bytes()
    done = vocabula("decompress", run, "c.png", "-o", "c.png", "--overwrite")
    assert done.code == 2 and one_line(done.err) and "apart from the inputs" in done.err
    assert Path("a.vcb").read_bytes() == before and Path("c.png").read_bytes() == small
    Path("here").mkdir()
    picture(tmp_path / "d.png")
    done = vocabula("compress", run, "d.png", "here/../d.png", "--overwrite")
    assert done.code == 2 and one_line(done.err) and "different names" in done.err


def test_pipes_are_refused_and_not_waited_for(
    vocabula: Vocabula, saved: Path, tmp_path: Path
) -> None:
    os.mkfifo("pipe")
    for words in (("inspect", "pipe"), *((w, saved / "run", "pipe") for w in WORDS)):
        done = vocabula(*words)
        assert done.code == 2 and one_line(done.err) and "got a pipe" in done.err


@pytest.mark.parametrize("out", ["out", "all.vcb"])
def test_folders_with_damaged_pictures(
    vocabula: Vocabula, saved: Path, tmp_path: Path, out: str
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    whole = picture(folder / "a.png", side=64).read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    done = vocabula("compress", saved / "run", folder, "-o", out)
    assert done.code == 2 and one_line(done.err), done.err
    assert "expected pictures, got only 1 damaged picture" in done.err
    assert not list(tmp_path.rglob("*.vcb"))
    picture(folder / "b.png", side=64)
    done = vocabula("compress", saved / "run", folder, "-o", out)
    assert done.code == 0 and "left out 1 damaged picture" in done.err, done.err
    assert "1 picture, " in done.out and "dB\n" in done.out  # measured on all that was written


@pytest.mark.parametrize("rate", ["0", "-1", "nan"])
def test_a_rate_that_no_file_has_is_refused(
    vocabula: Vocabula, saved: Path, tmp_path: Path, rate: str
) -> None:
    picture(tmp_path / "a.png")
    done = vocabula("compress", saved / "run", "a.png", "--target-bpp", rate)
    assert done.code == 2 and one_line(done.err) and "above 0" in done.err


def test_wrong_channels_and_no_pixels_end_in_one_line(
    vocabula: Vocabula, saved: Path, tmp_path: Path
) -> None:
    grey, colour = picture(tmp_path / "grey.png", mode="L"), picture(tmp_path / "colour.png")
    done = vocabula("compress", saved / "grey", grey, colour)
    assert done.code == 2 and one_line(done.err)
    assert "colour.png" in done.err and "1 channel" in done.err
    assert parts(tmp_path) == []
    header = io.BytesIO()
    Image.new("RGB", (1, 1)).save(header, "BMP")
    empty = bytearray(header.getvalue())
    empty[18:26] = bytes(8)  # a width and a height of 0
    (tmp_path / "none.bmp").write_bytes(empty)
    done = vocabula("compress", saved / "run", colour, tmp_path / "none.bmp")
    assert done.code == 2 and one_line(done.err) and "none.bmp" in done.err
    assert parts(tmp_path) == []


def test_the_version_and_model_that_are_needed_are_named(
    vocabula: Vocabula, saved: Path, tmp_path: Path
) -> None:
    class Network(codec.UniformModel):
        id = ModelId.PORTABLE
        hash = property(lambda self: b"8 bytes!")  # type: ignore[assignment]

        def __init__(self) -> None:
            self._tables = {}

    tokenizer, image = load(saved / "run"), torch.rand(1, 3, 8, 8)
    codec.write("network.vcb", image, tokenizer, entropy=Network())
    assert len(codec.read("network.vcb", tokenizer, models=[Network()])) == 1
    content = Path("network.vcb").read_bytes()
    Path("newer.vcb").write_bytes(bytes([*content[:4], 2, *content[5:]]))
    needed = f"portable entropy model {b'8 bytes!'.hex()}"
    for name, words in (("newer", "version 1"), ("network", needed)):
        done = vocabula("decompress", saved / "run", f"{name}.vcb")
        assert done.code == 2 and one_line(done.err) and words in done.err
        assert not Path(f"{name}.png").exists()


def test_memory_is_capped(vocabula: Vocabula, saved: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", side=700)
    assert vocabula("compress", saved / "run", "a.png").code == 0
    done = vocabula("decompress", saved / "run", "a.vcb", "-o", "b.png", "--max-memory", 1)
    assert done.code == 2 and one_line(done.err) and "--max-memory" in done.err
