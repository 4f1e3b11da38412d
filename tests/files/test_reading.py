"""Files that cannot be read say why, and damaged content is left to who knows the format."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vocabula.errors import CheckpointError, DataError
from vocabula.files import check_plain, input_error, input_errors, special_kind, utf8_path


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(errno.EACCES, "x"), "got no permission; check its rights"),
        (FileNotFoundError(errno.ENOENT, "x"), "got nothing at that place; check the path"),
        (IsADirectoryError(errno.EISDIR, "x"), "got a folder; give a file"),
        (OSError(errno.EIO, "x"), "got an error of the disk; check the disk or copy"),
        (OSError(errno.ENODEV, "x"), f"got '{os.strerror(errno.ENODEV)}'; check the file"),
    ],
)
def test_failed_reads_name_the_reason(error: OSError, text: str) -> None:
    with pytest.raises(DataError) as raised, input_errors("x.npy"):
        raise error
    assert str(raised.value).startswith("x.npy: expected a readable file, got ")
    assert text in str(raised.value)


def test_content_is_left_to_who_knows_the_format(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    damage = OSError("not a table")
    assert input_error(tmp_path / "x", damage) is None
    assert input_error(tmp_path / "x", ValueError("not a table")) is None
    with pytest.raises(OSError, match="not a table"), input_errors(tmp_path / "x"):
        raise damage


def test_the_reason_behind_an_error_without_a_number(tmp_path: Path) -> None:
    """As safetensors and pyarrow raise them."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, text in {
        "": "got a folder; give a file",
        "absent": "got nothing at that place",
        "loop": "got symbolic links that lead in a circle",
        "pipe": "got a pipe; give a file",
    }.items():
        failure = input_error(tmp_path / name, OSError("failed"), CheckpointError)
        assert isinstance(failure, CheckpointError)
        assert text in str(failure)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("pipe")
    names = {"": "folder", "pipe": "pipe", "link": "pipe", "file": None, "absent": None}
    assert {name: special_kind(tmp_path / name) for name in names} == names
    assert special_kind(os.devnull) == "device"
    assert special_kind("a\0b") is None


@pytest.mark.parametrize("name", ["plain", "caf\u00e9", os.fsdecode(b"caf\xe9")])
def test_libraries_get_a_path_that_they_take(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("content")
    with utf8_path(path) as place:
        str(place).encode("utf-8")
        assert place.read_text() == "content"
    assert path.read_text() == "content"
    assert place == path or not place.parent.exists()


def test_what_is_waited_for_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(
        DataError, match=r"x\.npy: expected an array, got a pipe; copy it to a file"
    ):
        check_plain(tmp_path / "x.npy", "an array")
    with pytest.raises(DataError, match="got a device"):
        check_plain(Path(os.devnull), "an array")
    (tmp_path / "a.npy").touch()
    for path in (tmp_path, tmp_path / "a.npy", tmp_path / "none"):
        check_plain(path, "an array")
