"""Names of any bytes become text that tables, pages and terminals take."""

from __future__ import annotations

import os

import pytest

from vocabula.files import cut_name, one_line, printable, unicode_text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("café 图.png", "café 图.png"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("\ud800x", r"\ud800x"),
        ("a\nb", "a\nb"),
    ],
)
def test_what_no_encoding_takes_is_written_out(text: str, wanted: str) -> None:
    assert unicode_text(text) == wanted
    wanted.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "wanted", "in_one_line"),
    [
        ("a  b", "a  b", "a b"),
        ("a\nb\t", r"a\nb\t", "a b"),
        ("\x1b[2Jx", r"\x1b[2Jx", r"\x1b[2Jx"),
        ("\u202egnp.exe", r"\u202egnp.exe", r"\u202egnp.exe"),
        (os.fsdecode(b"\xff"), r"\xff", r"\xff"),
    ],
)
def test_terminals_are_not_acted_on(text: str, wanted: str, in_one_line: str) -> None:
    assert printable(text) == wanted
    assert one_line(text) == in_one_line


@pytest.mark.parametrize("name", ["图" * 100, "x" * 300, "🖼é" * 80, os.fsdecode(b"\xe9" * 300)])
def test_names_are_cut_by_bytes_in_whole_characters(name: str) -> None:
    cut = cut_name(name, 240)
    assert name.startswith(cut) and 230 <= len(os.fsencode(cut)) <= 240
    assert cut_name(cut, 240) == cut
