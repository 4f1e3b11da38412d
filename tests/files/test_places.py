"""Outputs go behind symbolic links, never over an input, and never in place of what is no file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vocabula.errors import OutputError
from vocabula.files import (
    check_apart,
    check_new_file,
    check_new_folder,
    holds_something,
    new_file,
    new_folder,
    real_place,
    replace_file,
)


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "old").write_text("old")
    (tmp_path / "link").symlink_to("disk/old")
    (tmp_path / "chain").symlink_to(tmp_path / "link")
    with pytest.raises(OutputError, match="--overwrite"), new_file(tmp_path / "chain"):
        pass
    with new_file(tmp_path / "chain", overwrite=True) as hidden:
        assert hidden.parent == disk  # renamed on the disk where it is written
        hidden.write_text("new")
    assert (disk / "old").read_text() == "new"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "chain").is_symlink()
    assert [path.name for path in disk.iterdir()] == ["old"]


def test_links_to_nothing_make_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk/deep/new")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "disk/deep/new").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "folder").symlink_to("disk/pictures")
    with new_folder(tmp_path / "folder") as hidden:
        (hidden / "a.png").write_text("a")
    assert (tmp_path / "disk/pictures/a.png").read_text() == "a"
    assert (tmp_path / "folder").is_symlink()


def test_links_in_a_circle_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for place in (tmp_path / "a", tmp_path / "a" / "below"):
        for check in (check_new_file, check_new_folder):
            with pytest.raises(OutputError, match="symbolic links"):
                check(place, overwrite=True)
    assert os.readlink(tmp_path / "a") == "b"


def test_links_inside_a_folder_are_followed(tmp_path: Path) -> None:
    """A model whose weights lie on a larger disk is saved there again."""
    (tmp_path / "large").write_text("old")
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(tmp_path / "large")
    with new_folder(run, overwrite=True) as hidden:
        (hidden / "model").write_text("new")
    assert (run / "model").is_symlink() and (tmp_path / "large").read_text() == "new"
    assert [path.name for path in run.iterdir()] == ["model"]


def test_a_folder_is_filled_from_inside(tmp_path: Path) -> None:
    """As where a disk is mounted, whose parent is on another and may be read-only."""
    place = tmp_path / "mounted"
    place.mkdir()
    with new_folder(place) as hidden:
        assert hidden.parent == place
        (hidden / "a").write_text("a")
    assert [path.name for path in place.iterdir()] == ["a"]


@pytest.mark.parametrize("existing", ["file", "folder"])
def test_what_stands_in_the_way_is_seen_before_anything_moves(
    tmp_path: Path, existing: str
) -> None:
    target = tmp_path / "out"
    (target / "b").mkdir(parents=True)
    (target / "a").write_text("old")
    wanted = "b" if existing == "folder" else "a/below"
    with pytest.raises(OutputError, match="got a"), new_folder(target, overwrite=True) as hidden:
        (hidden / "c").write_text("new")
        (hidden / wanted).parent.mkdir(exist_ok=True)
        (hidden / wanted).write_text("new")
    assert sorted(path.name for path in target.iterdir()) == ["a", "b"]
    assert (target / "a").read_text() == "old"


def test_a_folder_that_came_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--overwrite"), new_folder(tmp_path / "out") as hidden:
        (hidden / "a").write_text("mine")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("of another process")
    assert (tmp_path / "out" / "a").read_text() == "of another process"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_sockets_and_folders_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for check, path in ((check_new_file, "socket"), (check_new_folder, "socket")):
            with pytest.raises(OutputError, match="got a socket"):
                check(Path(path), overwrite=True)
        with pytest.raises(OutputError, match="got a folder"):
            check_new_file(tmp_path, overwrite=True)
        with pytest.raises(OutputError, match="got a device"):
            check_new_folder(Path(os.devnull), overwrite=True)
        assert Path("socket").is_socket()


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "a\0b", "x/" + "y" * 300, "y" * 300 + "/x", "图" * 90, "a\ud800", "x/" * 2500],
)
def test_names_that_no_disk_takes_end_in_one_line(tmp_path: Path, name: str) -> None:
    for check in (check_new_file, check_new_folder):  # before any work is done
        with pytest.raises(OutputError) as raised:
            check(tmp_path / name, overwrite=True)
        assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["图" * 85, "x" * 255, "🖼" * 63, os.fsdecode(b"\xe9" * 255)])
def test_names_of_the_longest_are_written(tmp_path: Path, name: str) -> None:
    assert len(os.fsencode(name)) >= 252
    with new_file(tmp_path / name) as hidden:
        hidden.write_text("a")
    with new_folder(tmp_path / "folder" / name) as folder:
        (folder / "b").write_text("b")
    assert (tmp_path / name).read_text() == "a"
    assert (tmp_path / "folder" / name / "b").read_text() == "b"


def test_outputs_are_apart_under_whatever_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a")
    (tmp_path / "soft").symlink_to("source")
    os.link(source, tmp_path / "hard")
    for name in ("source", "soft", "hard", "x/../source"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(OutputError, match="apart from the inputs"):
            check_apart([tmp_path / name], [source])
    check_apart([tmp_path / "new", tmp_path / "x"], [source])


def test_what_interrupted_writes_leave_makes_no_folder_full(tmp_path: Path) -> None:
    (tmp_path / ".a.png.0a1b2c3d.part").write_text("half")
    assert not holds_something(tmp_path)
    check_new_folder(tmp_path, overwrite=False)
    (tmp_path / "a.png").write_text("whole")
    assert holds_something(tmp_path)


def test_the_real_place_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("below/file")
    assert real_place(Path("link")) == tmp_path / "below" / "file"
