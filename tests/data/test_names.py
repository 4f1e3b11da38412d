"""Names of decoded images stay inside their folder, are unique, and fit every file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vocabula.data.names import OutputNames


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
        ("Fu\u0308ße.jpg", "Füße.png"),
        ("a\nb\0c.png", "a_b_c.png"),
        ("a\x1b[2J\u202eb.png", "a_2J_b.png"),
        ("x" * 300 + ".jpg", "x" * 100 + ".png"),
        ("x" * 98 + ".jpeg", "x" * 98 + ".png"),
        (os.fsdecode(b"caf\xe9.png"), "caf.png"),
        ("\ud800.png", "image.png"),
        ("con.jpg", "_con.png"),
        ("Aux/LPT1.tar.png", "_Aux/_LPT1.tar.png"),
        ("console.png", "console.png"),
        ("a./b ./c .png", "a/b/c.png"),
    ],
)
def test_names_of_decoded_images(path: str, name: str) -> None:
    assert str(OutputNames().take(path)) == name


@pytest.mark.parametrize("letter", ["x", "é", "图", "𠀀"])
def test_names_are_cut_to_what_file_systems_take(tmp_path: Path, letter: str) -> None:
    """A part has at most 255 bytes, whatever its characters take, and a path at most 4096."""
    names = OutputNames()
    long = f"{letter * 300}.jpg"
    for path in (long, long, f"{letter * 200}/{long}", "/".join([letter * 200] * 60 + [long])):
        name = names.take(path)
        assert max(len(os.fsencode(part)) for part in name.parts) <= 255
        assert len(os.fsencode(str(name))) <= 1024
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path)
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_names_are_unique_in_any_letter_case() -> None:
    names = OutputNames()
    taken = [str(names.take(p)) for p in ("a.jpg", "a.png", "A.png", "a-2.png", "b/a.png")]
    assert taken == ["a.png", "a-2.png", "A-3.png", "a-2-2.png", "b/a.png"]


def test_names_that_are_cut_stay_unique() -> None:
    names = OutputNames()
    taken = {str(names.take(f"{'图' * 120}{i}.png")).casefold() for i in range(30)}
    assert len(taken) == 30


@pytest.mark.parametrize(
    "paths",
    [
        ("a.png/b.jpg", "a.jpg"),  # a folder first, then a picture of its name
        ("a.jpg", "a.png/b.jpg", "A.PNG/c.jpg"),
        ("a.jpg", "a.png/b.png/c.jpg", "a.png/b.jpg"),
    ],
)
def test_no_picture_has_a_folders_name(tmp_path: Path, paths: tuple[str, ...]) -> None:
    names = OutputNames()
    for path in paths:
        place = tmp_path / str(names.take(path)).casefold()
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "x") as file:
            file.write(path)
    assert sum(place.is_file() for place in tmp_path.rglob("*")) == len(paths)


def test_what_is_in_the_folder_is_respected(tmp_path: Path) -> None:
    (tmp_path / "0.png").mkdir()
    (tmp_path / "1.png").write_text("mine")
    (tmp_path / "cats").write_text("mine")
    names = OutputNames(tmp_path)
    paths = ("0.jpg", "1.jpg", "cats/2.jpg", "cats/3.jpg")
    taken = [str(names.take(path)) for path in paths]
    assert taken == ["0-2.png", "1.png", "cats-2/2.png", "cats-2/3.png"]


@pytest.mark.slow
def test_many_equal_names_take_little_time() -> None:
    names = OutputNames()
    taken = {names.take("same.png") for _ in range(30_000)}
    assert len(taken) == 30_000
