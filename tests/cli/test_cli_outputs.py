"""Outputs of every command: pipes, devices and links stay what they are; names are no obstacle."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from priors.generators import make_generator, save_generator
from processes import Ended, Program
from vocabula.data.token_file import read_tokens

PIPED = """
import os, sys
os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY), 1)
sys.stdout = open(1, "w", closefd=False)  # the one before took its file for one that seeks
from vocabula.cli.main import main
sys.argv[0] = "vocabula"
main()
"""
BEGINNINGS = {
    # what a command's output begins with; OUT stands for the output
    "encode run pictures -o OUT": b"PAR1",
    "evaluate run pictures --json OUT": b"{",
    "report run pictures -o OUT": b"<!doctype html>",
    "compress run pictures/0.png -o OUT": b"\x89VCB",
    "compress run pictures/0.png pictures/1.png -o OUT": b"\x89VCB",
    "blocks pictures/0.png -k 4 -o OUT": b"\x89VCB",
    "decompress run small.vcb -o OUT": b"\x89PNG",
    "palette pictures/0.png -k 4 -o OUT": b"\x89PNG",
    "sample prior -n 2 --seed 0 -o OUT": b"\x89PNG",
    "complete prior one.png --keep top:0.5 -n 1 --seed 0 -o OUT": b"\x89PNG",
    "sample prior -n 2 --seed 0 -o new.png --codes OUT": b"PAR1",
}
SUFFIXES = {
    b"PAR1": ".parquet",
    b"{": ".json",
    b"<!doctype html>": ".html",
    b"\x89VCB": ".vcb",
    b"\x89PNG": ".png",
}
FOLDERS = {
    "decode run tokens.parquet -o OUT",
    "rate run pictures -o OUT",
    "train pictures --out OUT data.crop=8",
    "train-prior run tokens.parquet --model transformer --out OUT",
}


@pytest.fixture(scope="session")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny generator."""
    folder = tmp_path_factory.mktemp("made") / "prior"
    save_generator(folder, make_generator("pixelcnn", channels=3))
    return folder


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what `place` writes once."""
    return tmp_path_factory.mktemp("written")


@pytest.fixture
def place(
    tmp_path: Path, saved: Path, pictures: Path, prior: Path, written: Path, vocabula: Callable
) -> Path:
    """The folder that commands run in, with what they read."""
    (tmp_path / "run").symlink_to(saved / "run")
    (tmp_path / "prior").symlink_to(prior)
    Image.new("RGB", (16, 12), "red").save(tmp_path / "one.png")
    if not any(written.iterdir()):
        small, tokens = written / "small.vcb", written / "tokens.parquet"
        assert vocabula("compress", "run", "pictures/0.png", "-o", small).code == 0
        assert vocabula("encode", "run", "pictures", "-o", tokens).code == 0
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("words", BEGINNINGS)
def test_a_pipe_gets_the_output(vocabula: Callable, place: Path, words: str) -> None:
    os.mkfifo(place / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((place / "pipe").read_bytes()))
    reader.start()
    done = vocabula(*words.replace("OUT", "pipe").split())
    reader.join(20)
    assert done.code == 0, done.err
    assert found[0].startswith(BEGINNINGS[words])
    assert (place / "pipe").is_fifo()


@pytest.mark.slow
@pytest.mark.parametrize("words", BEGINNINGS)
def test_a_link_is_followed(vocabula: Callable, place: Path, words: str) -> None:
    (place / "disk").mkdir()
    suffix = SUFFIXES[BEGINNINGS[words]]
    link = f"link{suffix}"
    (place / link).symlink_to(f"disk/target{suffix}")
    command = words.replace("OUT", link).split()
    assert vocabula(*command).code == 0  # a link to nothing needs no --overwrite
    target = place / "disk" / f"target{suffix}"
    assert (place / link).is_symlink()
    assert target.read_bytes().startswith(BEGINNINGS[words])
    (place / "new.png").unlink(missing_ok=True)
    target.write_bytes(b"old")
    refused = vocabula(*command)
    assert refused.code == 2 and "--overwrite" in refused.err
    assert target.read_bytes() == b"old"
    assert vocabula(*command, "--overwrite").code == 0
    assert (place / link).is_symlink()
    assert target.read_bytes().startswith(BEGINNINGS[words])
    assert [path.name for path in (place / "disk").iterdir()] == [target.name]


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(FOLDERS))
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_needs_a_folder_refuses_pipes(
    vocabula: Callable, place: Path, words: str, more: list[str]
) -> None:
    os.mkfifo(place / "pipe")
    done = vocabula(*words.replace("OUT", "pipe").split(), *more)
    assert done.code == 2 and done.err.count("\n") == 1
    assert "expected a folder" in done.err and "got a pipe" in done.err
    assert (place / "pipe").is_fifo()


def piped(*words: str) -> tuple[Ended, bytes]:
    """How a command in a process of its own ends, and what a pipe gets of its standard output."""
    os.mkfifo("pipe")
    process = Program(PIPED, "pipe", *words)
    content = Path("pipe").read_bytes()
    Path("pipe").unlink()
    return process.wait(), content


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no such name")
def test_standard_output_gets_the_output_alone(place: Path) -> None:
    words = ("encode", "run", "pictures", "-o", "/dev/stdout")
    done, content = piped(*words)
    assert done.code == 0, done.errors
    assert "encoded 4 images: /dev/stdout" in done.errors
    (place / "copy.parquet").write_bytes(content)
    assert len(list(read_tokens("copy.parquet"))) == 4
    done, content = piped("evaluate", "run", "pictures", "--json", "/dev/stdout")
    assert json.loads(content)["images"] == 4 and "PSNR" in done.errors


@pytest.mark.slow
def test_a_link_in_a_circle_ends_in_one_line(vocabula: Callable, place: Path) -> None:
    for suffix in ("", *SUFFIXES.values()):
        (place / f"loop{suffix}").symlink_to(f"loop{suffix}")
    for words in [*BEGINNINGS, *FOLDERS]:
        suffix = SUFFIXES[BEGINNINGS[words]] if words in BEGINNINGS else ""
        done = vocabula(*words.replace("OUT", f"loop{suffix}").split())
        assert done.code == 2 and done.err.count("\n") == 1, words
        assert "symbolic links" in done.err
    assert all(os.readlink(path) == path.name for path in place.glob("loop*"))


NAMES = [
    os.fsdecode(b"caf\xe9"),
    "图" * 80,
    "line\nbreak",
    "\x1b[2Jred",
    "\u202etxt",
    "x" * 250,
    "con",
    "percent%20",
    "<b>bold",
]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder whose name and pictures' names are as bad as the file system takes."""
    name = os.fsdecode(b"d\xe9 \n\x1b[2J $\\frac ") + "图"
    folder = tmp_path / name
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (16, 12), (number * 20, 0, 99)).save(folder / f"{name}.png", "PNG")
    return folder


@pytest.mark.slow
def test_names_end_no_command(vocabula: Callable, place: Path, odd: Path) -> None:
    count = len(NAMES)
    files = sorted(odd.iterdir())
    run = shutil.copytree(place / "run", place / os.fsdecode(b"r\xe9 \n\x1b[2Jn"))
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "data": str(odd)}))
    for words in (
        ["encode", "run", odd, "-o", "odd.parquet"],
        ["decode", "run", "odd.parquet", "-o", "decoded"],
        ["report", "run", odd, "-o", "report.html", "--examples", count],
        ["evaluate", run, odd, "--json", "figures.json"],
        ["rate", "run", odd, "-o", "rates"],
        ["palette", odd, "-k", 4, "-o", "palettes"],
        ["blocks", *files, "-k", 4, "-o", "blocks.vcb"],
        ["compress", "run", *files, "-o", "one.vcb"],
        ["compress", "run", *files, "-o", "each"],
        ["decompress", "run", "one.vcb", "-o", "pictures-of-one"],
        ["decompress", "run", "each", "-o", "pictures-of-each"],
        ["inspect", "one.vcb"],
        ["info", run],
        ["complete", "prior", *files[:3], "--keep", "top:0.5", "-n", 1, "-o", "completed"],
    ):
        if "each" in words and words[0] == "decompress":
            words[2:3] = sorted((place / "each").iterdir())
        done = vocabula(*words)
        assert done.code == 0, (words[0], done.err)
        assert "\x1b" not in done.out + done.err and "\u202e" not in done.out + done.err
        (done.out + done.err).encode()
    assert len({record.path for record in read_tokens("odd.parquet")}) == count
    for folder in ("decoded", "palettes", "pictures-of-one", "pictures-of-each"):
        assert len(list((place / folder).rglob("*.png"))) == count, folder
    assert r"caf\xe9.png" in (place / "report.html").read_text(encoding="utf-8")
    assert not list(place.rglob("*.part"))


def test_a_folder_of_a_pictures_name_is_no_obstacle(vocabula: Callable, place: Path) -> None:
    (place / "out" / "0.png").mkdir(parents=True)
    done = vocabula("decode", "run", "tokens.parquet", "-o", "out", "--overwrite")
    assert done.code == 0
    found = sorted(path.name for path in (place / "out").iterdir())
    assert found == ["0-2.png", "0.png", "1.png", "2.png", "3.png"]


def test_an_input_is_never_the_output(vocabula: Callable, place: Path) -> None:
    os.link(place / "tokens.parquet", place / "hard.parquet")
    (place / "soft.png").symlink_to("one.png")
    before = {name: (place / name).read_bytes() for name in ("tokens.parquet", "one.png")}
    for words in (
        "complete prior one.png --keep top:0.5 -o soft.png --overwrite",
        "palette one.png -o soft.png --overwrite",
        "encode run tokens.parquet -o hard.parquet --overwrite",
        "evaluate run tokens.parquet --json hard.parquet --overwrite",
        "report run tokens.parquet -o hard.parquet --overwrite",
        "report prior tokens.parquet -o hard.parquet --overwrite",
    ):
        done = vocabula(*words.split())
        assert done.code == 2 and done.err.count("\n") == 1, words
    assert {name: (place / name).read_bytes() for name in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(words for words in BEGINNINGS if "--json" not in words))
def test_equal_commands_write_equal_bytes(vocabula: Callable, place: Path, words: str) -> None:
    contents = []
    for folder in ("first", "second"):
        name = f"{folder}/out{SUFFIXES[BEGINNINGS[words]]}"
        command = words.replace("OUT", name).replace("new.png", f"{folder}/new.png")
        assert vocabula(*command.split()).code == 0
        contents.append((place / name).read_bytes())
    assert contents[0] == contents[1]
