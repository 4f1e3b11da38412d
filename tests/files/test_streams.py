"""Devices and pipes are written to and stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vocabula.errors import OutputError
from vocabula.files import check_new_file, is_stream, new_file, new_files, output_errors, streams

CONTENT = bytes(range(256)) * 1024  # more than a pipe holds at once


def read_in_thread(pipe: Path) -> tuple[threading.Thread, list[bytes]]:
    """A reader of a pipe, and what it will have read."""
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    thread.start()
    return thread, found


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    for path in (pipe, tmp_path / "link"):
        thread, found = read_in_thread(pipe)
        with new_file(path) as hidden:  # no --overwrite: nothing is replaced
            hidden.write_bytes(CONTENT)
        thread.join(20)
        assert found == [CONTENT]
    thread, found = read_in_thread(pipe)
    new_files([(pipe, b"small")])
    thread.join(20)
    assert found == [b"small"]
    assert pipe.is_fifo() and sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]


def test_nothing_is_sent_of_what_fails(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(RuntimeError), new_file(pipe) as hidden:
        hidden.write_bytes(b"half")
        raise RuntimeError
    assert os.read(reader, 10) == b""
    os.close(reader)
    assert not hidden.parent.exists()


def test_a_pipe_without_a_reader_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "READER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="start the reader first"):
        new_files([(tmp_path / "pipe", b"a")])
    assert (tmp_path / "pipe").is_fifo()


def device(path: Path, minor: int) -> Path:
    """A device of our own: 3 swallows all, 7 is always full."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        with open(path, "wb"):
            pass
    except OSError:
        pytest.skip("devices may not be made here")
    return path


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    null = device(tmp_path / "null", 3)
    with new_file(null) as hidden:
        hidden.write_bytes(CONTENT)
    full = device(tmp_path / "full", 7)
    refused = pytest.raises(OutputError, match="free some space")
    with refused, output_errors(full), new_file(full) as hidden:
        hidden.write_bytes(CONTENT)
    assert null.is_char_device() and full.is_char_device()


SCRIPT = """
import sys
from pathlib import Path
from vocabula.files import new_file, stdout_is_taken
print("before")
with new_file(Path(sys.argv[1])) as hidden:
    hidden.write_bytes(b"content\\n")
print("after", stdout_is_taken())
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to(tmp_path: Path, name: str) -> None:
    """Also where it is a file, which is neither replaced nor begun anew."""
    if not os.path.exists(name):
        pytest.skip("this system has no such name")
    words = [sys.executable, "-c", SCRIPT, name]
    expected = b"before\ncontent\nafter True\n"
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == expected
    place = tmp_path / "out.txt"
    place.write_bytes(b"earlier\n")
    before = place.stat().st_ino
    with open(place, "ab") as file:
        subprocess.run(words, stdout=file, check=True)
    assert place.read_bytes() == b"earlier\n" + expected
    assert place.stat().st_ino == before


def test_files_and_what_is_not_there_are_no_streams(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not is_stream(tmp_path / "file")
    assert not is_stream(tmp_path / "absent")
    assert not is_stream(tmp_path)
    assert is_stream(os.devnull)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_stream_without_permission_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").chmod(0o400)
    with pytest.raises(OutputError, match="got no permission"):
        check_new_file(tmp_path / "pipe", overwrite=False)
