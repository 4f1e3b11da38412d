"""Commands without streams, at terminals of every kind, and stopped from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import Program
from vocabula.cli.groups import check_dashes
from vocabula.cli.process import catch_stops, lonely_launch
from vocabula.data.token_file import read_tokens
from vocabula.errors import OptionError

MAIN = "import sys; from vocabula.cli.main import main; sys.argv[0] = 'vocabula'; main()"
WAITING = f"""
import time
from vocabula.tokenizers import Tokenizer
vectors = Tokenizer._vectors
def slow(self, *args):
    open("began", "w").close()
    time.sleep(60)
    return vectors(self, *args)
Tokenizer._vectors = slow
{MAIN}
"""
CLOSED = """
import os, sys
for number in map(int, sys.argv[1].split(",")):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], *sys.argv[3:]])
"""
FORKED = f"""
import os, sys
for number in map(int, sys.argv.pop(1).split(",")):
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)  # as Python finds them at its start
{MAIN}
"""


@pytest.fixture
def place(tmp_path: Path, saved: Path, pictures: Path) -> Path:
    """The folder that commands run in, with a run and pictures."""
    (tmp_path / "run").symlink_to(saved / "run")
    return tmp_path


def command(*words: str, program: str = MAIN, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, its streams kept."""
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **variables},
    )


def without(numbers: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that is started without some of the streams 0, 1 and 2."""
    return command(numbers, MAIN, *words, program=CLOSED)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["1", "0,1,2"])
def test_commands_need_no_streams(place: Path, numbers: str) -> None:
    words = ("encode", "run", "pictures", "-o", "t.parquet")
    done = Program(FORKED, numbers, *words).wait()
    assert (done.code, done.errors, done.output) == (0, "", "")
    assert len(list(read_tokens("t.parquet"))) == 4


@pytest.mark.slow
def test_errors_need_no_streams(place: Path) -> None:
    done = without("2", "info", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")  # an error is no result
    done = without("1", "info", "nowhere")
    assert done.returncode == 2 and done.stderr.startswith("error: nowhere")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no such device")
@pytest.mark.parametrize("words", ["--help", "config photos"])
def test_a_full_disk_behind_standard_output(place: Path, words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: output: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reader_that_goes_away(place: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "config", "photos"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=300,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "20", "TERM": "dumb"},
    ],
)
def test_terminals_that_can_little(
    vocabula: Callable, place: Path, variables: dict[str, str]
) -> None:
    Path("Füße-图.vcb").symlink_to("one.vcb")
    assert vocabula("blocks", "pictures/0.png", "-k", 4, "-o", "one.vcb").code == 0
    done = command("inspect", "Füße-图.vcb", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    done = command("evaluate", "nowhere-图", "pictures", **variables)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("encode run pictures -o t.parquet", signal.SIGTERM),
        ("encode run pictures -o t.parquet", signal.SIGHUP),
        ("report run pictures -o r.html", signal.SIGTERM),
        ("rate run pictures -o rates", signal.SIGHUP),
    ],
)
def test_a_stopped_command_leaves_nothing(place: Path, words: str, how: signal.Signals) -> None:
    before = sorted(path.name for path in place.iterdir())
    process = started(*words.split())
    process.send_signal(how)
    process.send_signal(how)  # as some systems do: it must not disturb the cleaning up
    done = process.wait(60)
    assert done.code in (2, 130)  # rate keeps what is finished
    assert done.errors.startswith("interrupted: ") and done.errors.count("\n") == 1
    assert sorted(path.name for path in place.iterdir()) == sorted([*before, "began"])


@pytest.mark.slow
def test_signals_that_are_ignored_stay_so(place: Path) -> None:
    """As under nohup."""
    process = started("encode", "run", "pictures", "-o", "t.parquet", ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.is_alive()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60).code == 130


def started(*words: str, ignored: int | None = None) -> Program:
    """A command that has begun to compute and takes long."""
    ignoring = f"import signal; signal.signal({int(ignored)}, signal.SIG_IGN)" if ignored else ""
    process = Program(ignoring + WAITING, *words)
    deadline = time.monotonic() + 120
    while not os.path.exists("began") and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_signals_are_caught_once() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        catch_stops()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # does not disturb the cleaning up
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    "words",
    [
        "compress run {} -o c.vcb",
        "palette {} -o small.png",
        "blocks {}",
        "decompress run {}",
        "inspect {}",
        "complete prior {} --keep top:0.5 -o g.png",
        "encode run {} -o t.parquet",
        "evaluate run {}",
        "train {} --out new",
    ],
)
def test_names_that_begin_with_a_dash(vocabula: Callable, place: Path, words: str) -> None:
    (place / "-dash.png").symlink_to("pictures/0.png")
    (place / "-o.png").symlink_to("pictures/1.png")  # else the option -o, with the value .png
    for name in ("-dash.png", "-o.png"):
        done = vocabula(*words.format(name).split())
        assert done.code == 2 and done.err.count("\n") == 1
        assert f"write ./{name} (./*.png), or put -- before the names" in done.err


def test_names_after_two_dashes_are_files(vocabula: Callable, place: Path) -> None:
    (place / "-dash.png").symlink_to("pictures/0.png")
    assert vocabula("compress", "run", "-o", "a.vcb", "--", "-dash.png").code == 0
    assert vocabula("compress", "run", "-o", "b.vcb", "./-dash.png").code == 0
    assert (place / "a.vcb").read_bytes() == (place / "b.vcb").read_bytes()


def test_options_are_no_files(tmp_path: Path) -> None:
    for name in ("-o", "--overwrite"):
        (tmp_path / name).touch()
    check_dashes(["run", "-o", "x", "--overwrite", "-", "-k", "4"])
    (tmp_path / "--photos.d").mkdir()
    with pytest.raises(OptionError, match=r"\./--photos\.d"):
        check_dashes(["run", "--photos.d"])


def test_one_process_under_accelerate_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    assert lonely_launch() is None
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setattr(sys, "argv", ["vocabula", "train", "my photos", "--out", "run"])
    text = lonely_launch()
    assert text is not None
    assert text.endswith("torchrun --nproc_per_node 2 -m vocabula train 'my photos' --out run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert lonely_launch() is None
