"""Outputs appear whole or not at all, and names stay inside their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocabula.errors import OutputError
from vocabula.evaluation.names import OutputNames
from vocabula.evaluation.output import new_file, new_folder


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cats/7.jpg", "cats/7.png"),
        ("../../etc/passwd", "etc/passwd.png"),
        ("a/../b.PNG", "a/b.png"),
        ("/etc/passwd", "passwd.png"),
        (r"C:\photos\cat.webp", "cat.png"),
        (r"..\up.png", "up.png"),
        ("sample:digits[3]", "sample_digits_3.png"),
        ("data/train.npy[12]", "data/train.npy_12.png"),
        ("", "image.png"),
        ("..", "image.png"),
        (".hidden.png", "hidden.png"),
        ("Füße.jpg", "Füße.png"),
        ("a\nb\0c.png", "a_b_c.png"),
        ("x" * 300 + ".jpg", "x" * 100 + ".png"),
    ],
)
def test_names_of_decoded_images(path: str, name: str) -> None:
    assert str(OutputNames().take(path)) == name


def test_names_are_unique_in_any_letter_case() -> None:
    names = OutputNames()
    taken = [str(names.take(p)) for p in ("a.jpg", "a.png", "A.png", "a-2.png", "b/a.png")]
    assert taken == ["a.png", "a-2.png", "A-3.png", "a-2-2.png", "b/a.png"]
