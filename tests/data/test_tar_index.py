"""Members of tars by byte range, as Python's tarfile module writes and reads them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from tests.data.tars import tar

from vocabula.data.tar_index import MemberError, read_member, tar_members
from vocabula.data.tar_samples import tar_samples
from vocabula.errors import DataError


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_and_ranges_are_those_of_tarfile(format: int, tmp_path: Path) -> None:
    deep = f"{'folder/' * 14}{'n' * 60}.txt"  # longer than a plain header has room for
    contents = {deep: b"x" * 511, "ä.b/1.TXT": b"", "0.txt": b"y" * 513, "./2.cls": b"7"}
    path = tar(tmp_path / "a.tar", contents, format=format)
    with tarfile.open(path, "a", format=format) as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("special")
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
    with tarfile.open(path) as file:
        wanted = [(m.name.removeprefix("./"), m.offset_data, m.size) for m in file if m.isreg()]
    found = [*tar_members(path)]
    assert [(m.name, m.first, m.size) for m in found] == wanted and len(wanted) == 4
    assert [read_member(path, m.first, m.size) for m in found] == [*contents.values()]


def test_large_sizes_are_read_as_numbers(tmp_path: Path) -> None:
    info = tarfile.TarInfo("large.bin")
    info.size = 2**34  # more than 11 octal digits hold
    head = info.tobuf(tarfile.GNU_FORMAT)
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(head)
        file.seek(2**34, 1)  # a hole
        file.write(bytes(1024))
    assert [(m.name, m.size) for m in tar_members(tmp_path / "a.tar")] == [("large.bin", 2**34)]


def test_damaged_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"1.txt": b"x" * 600, "2.txt": b"y" * 600})
    whole = path.read_bytes()
    ends = {
        1000: "cut short after 0 members",
        1536: "cut short after 1 member;",
        1700: "cut short after 1 member;",
        3072: "cut short after 2 members",  # between members: only the end is missing
    }
    for size, got in ends.items():
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"a\.tar: expected a tar file, got one that is {got}"):
            list(tar_members(path))
    for content, got in ((b"", "cut short after 0"), (b"PK\3\4" * 200, "a compressed file")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=got):
            list(tar_members(path))
    path.write_bytes(whole[:1540] + b"\xff" + whole[1541:])
    with pytest.raises(DataError, match="a damaged header"):
        list(tar_members(path))
    with pytest.raises(MemberError, match="has changed"):
        read_member(path, len(whole) - 3, 9)
    with pytest.raises(MemberError, match="No such file"):
        read_member(tmp_path / "lost.tar", 0, 9)


def test_members_of_a_key_are_a_sample_wherever_they_lie(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/2.jpg", "a/1.cls", "a/._1.jpg", "__meta__/x.json", "READ.ME"]
    path = tar(tmp_path / "a.tar", dict.fromkeys([*names, "../3.seg.PNG", "NOTES"], b""))
    with tarfile.open(path, "a") as file:
        file.addfile(tarfile.TarInfo("a/2.jpg"))  # a sample of a name that came before
    found = [(key, [*sample]) for key, sample in tar_samples(path)]
    assert found == [
        ("a/1", ["jpg", "cls"]),
        ("a/2", ["jpg"]),
        ("READ", ["me"]),
        ("../3", ["seg.png"]),
        ("a/2", ["jpg"]),
    ]
