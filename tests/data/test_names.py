"""Names of decoded images stay inside their folder and are unique."""

from __future__ import annotations

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
