"""Outputs appear whole or not at all, with the rights that the umask gives."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vocabula.errors import OutputError
from vocabula.files import (
    Draft,
    hidden_folder,
    is_hidden,
    new_file,
    new_folder,
    output_error,
    remove_folder,
    remove_hidden,
    replace_file,
    replace_folder,
)


def test_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "figures.json"
    with new_file(target) as draft:
        draft.write_text("{}")
        assert not target.exists()
    assert target.read_text() == "{}"
    assert [p.name for p in target.parent.iterdir()] == ["figures.json"]


def test_failure_leaves_no_file(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    with pytest.raises(RuntimeError), new_file(target, overwrite=True) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_existing_outputs_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"), new_file(target):
        pass
    with pytest.raises(OutputError, match="--overwrite"), new_folder(tmp_path):
        pass
    with pytest.raises(OutputError, match="got a folder"), new_file(tmp_path, overwrite=True):
        pass
    with pytest.raises(OutputError, match="got a file"), new_folder(target, overwrite=True):
        pass
    with pytest.raises(OutputError, match="got a file"), new_file(target / "below"):
        pass


def test_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "images"
    with new_folder(target) as draft:
        (draft / "a.png").write_text("a")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_overwriting_a_folder_keeps_other_files(tmp_path: Path) -> None:
    target = tmp_path / "images"
    target.mkdir()
    (target / "a.png").write_text("old")
    (target / "mine.txt").write_text("mine")
    with new_folder(target, overwrite=True) as draft:
        (draft / "cats").mkdir()
        (draft / "cats" / "b.png").write_text("b")
        (draft / "a.png").write_text("new")
    files = {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()}
    assert files == {"a.png": "new", "mine.txt": "mine", "cats/b.png": "b"}


def test_failure_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "images") as draft:
        (draft / "a.png").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_draft_refuses_what_came_meanwhile(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "t.parquet")
    draft.hidden.write_text("new")
    (tmp_path / "t.parquet").write_text("of another process")
    with pytest.raises(OutputError, match="got an existing one"):
        draft.publish()
    draft.discard()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["of another process"]


def test_the_last_file_moves_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = os.replace

    def noting(source: Path, target: Path) -> None:
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    (tmp_path / "model").mkdir()
    with new_folder(tmp_path / "model", overwrite=True, last="config.json") as draft:
        for name in ("config.json", "model.safetensors", "README.md"):
            (draft / name).write_text(name)
    assert moved == ["README.md", "model.safetensors", "config.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "step-1"
    target.mkdir()
    (target / "old").write_text("old")
    with hidden_folder(target) as hidden:
        (hidden / "new").write_text("new")
        replace_folder(hidden, target)
    assert [p.name for p in tmp_path.rglob("*")] == ["step-1", "new"]
    remove_folder(target)
    assert list(tmp_path.iterdir()) == []


def test_what_interrupted_writes_leave_is_known_and_removed(tmp_path: Path) -> None:
    left = [tmp_path / ".run.json.0a1b2c3d.part", tmp_path / ".step-1.00000000.part"]
    left[0].write_text("half")
    left[1].mkdir()
    (left[1] / "model").write_text("half")
    own = [tmp_path / name for name in (".mine.part", "x.0a1b2c3d.part", ".git")]
    for path in own:
        path.write_text("mine")
    assert [is_hidden(path) for path in left + own] == [True] * 2 + [False] * 3
    remove_hidden(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(own)
    remove_hidden(tmp_path / "absent")


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_follow_the_umask(tmp_path: Path, umask: int) -> None:
    replace_file(tmp_path / "a.json", b"{}")
    with new_file(tmp_path / "b.html") as draft:
        draft.write_text("b")
    with new_folder(tmp_path / "model") as folder:
        (folder / "c.png").write_bytes(b"c")
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    file, folder_mode = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {"a.json": file, "b.html": file, "model": folder_mode, "c.png": file}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "x"), "got 'No space left on device'; free some space"),
        (OSError("I/O error: No space left on device (os error 28)"), "free some space"),
        (PermissionError(errno.EACCES, "x"), "got 'Permission denied'; check the path"),
    ],
)
def test_failed_writes_name_the_remedy(error: OSError, text: str) -> None:
    message = str(output_error("run", error, then="and run again", kept="old files are unharmed"))
    assert message.startswith("run: expected to write, ") and text in message
    assert message.endswith("and run again (old files are unharmed)")
