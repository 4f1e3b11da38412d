"""One process at a time writes into a folder; a killed one leaves no lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vocabula.errors import OutputError
from vocabula.files import LOCK, locked_folder, locks

HOLDER = """
import sys, time
from pathlib import Path
from vocabula.files import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (tmp_path / "link").symlink_to("run")
    first = holder(run)
    for path in (run, tmp_path / "link", run / ".." / "run"):
        with pytest.raises(OutputError) as raised, locked_folder(path):
            pass
        assert str(raised.value) == (
            f"{path}: expected a folder that no other process writes, got a run in progress "
            f"(process {first.pid}); wait for it or choose another folder"
        )
    first.communicate("end", timeout=20)
    assert not run.exists()  # nothing was written, so the folder goes with the lock
    with locked_folder(run):
        assert run.is_dir()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    first = holder(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    assert (tmp_path / LOCK).exists()
    with locked_folder(tmp_path):
        assert (tmp_path / LOCK).read_text().split()[0] == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_one_process_locks_once(tmp_path: Path) -> None:
    refused = pytest.raises(OutputError, match="in progress")
    with locked_folder(tmp_path), refused, locked_folder(tmp_path):
        pass


def test_folders_that_were_made_go_only_if_they_are_empty(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "mine"]
    with pytest.raises(RuntimeError), locked_folder(tmp_path / "c" / "d"):
        raise RuntimeError
    assert not (tmp_path / "c").exists()
    (tmp_path / "empty").mkdir()
    with locked_folder(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()  # it was there before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_disks_without_locks_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def unknown(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "_ask", unknown)
    with locked_folder(tmp_path), locked_folder(tmp_path):
        pass


def test_no_folder_is_locked_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path, text in ((tmp_path / "file", "got a file"), (tmp_path / "file" / "x", "got a file")):
        with pytest.raises(OutputError, match=text), locked_folder(path):
            pass
    assert (tmp_path / "file").read_text() == "mine"
