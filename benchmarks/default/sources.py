"""Pictures in unpacked Debian and installed Python packages, with author and licence."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import importlib.util
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

HERE = Path(__file__).parent
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".jxl", ".tif", ".tiff")


@dataclass(frozen=True)
class Found:
    """A picture, and what its package says about it."""

    package: str
    version: str
    path: str
    title: str
    author: str
    licence: str
    source: str
    open: Callable[[], Image.Image]


@dataclass(frozen=True)
class Stanza:
    """A paragraph of a copyright file: whose the files of some patterns are."""

    patterns: list[str]
    author: str
    licence: str
    source: str


def stanzas(text: str) -> list[Stanza]:
    """The paragraphs about files of a copyright file in Debian's machine-readable format."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        if not re.search(r"(?m)^Files:", paragraph):
            continue
        fields = dict(re.findall(r"(?m)^(\w+):((?:.*)(?:\n[ \t].*)*)", paragraph))
        holders = (_person(line) for line in fields.get("Copyright", "").splitlines())
        address = re.search(r"(?<=://)\S+", fields.get("Comment", ""))
        found.append(
            Stanza(
                fields["Files"].split(),
                ", ".join(dict.fromkeys(holder for holder in holders if holder)),
                (fields.get("License", "").strip().splitlines() or ["unknown"])[0],
                address.group() if address else "",
            )
        )
    return found


def _person(line: str) -> str:
    """A holder's name, without years and addresses."""
    line = re.sub(r"<[^>]*>|\b(19|20)\d\d(\s*-\s*(19|20)?\d\d)?\b", "", line)
    return line.strip(" ,.;\t").strip()


def stanza_of(path: str, known: list[Stanza]) -> Stanza | None:
    """The last paragraph that speaks of a file; else the last that names a file of its name."""
    parts = PurePosixPath(path).parts
    ends = ["/".join(parts[i:]) for i in range(len(parts))]
    special = [s for s in known if any(_names(p, ends) for p in s.patterns if p != "*")]
    same = [s for s in known if any(PurePosixPath(p).name == parts[-1] for p in s.patterns)]
    general = [s for s in known if "*" in s.patterns]
    return next((group[-1] for group in (special, same, general) if group), None)


def _names(pattern: str, ends: list[str]) -> bool:
    rest = ends if "/" in pattern else ends[-1:]
    return any(fnmatch.fnmatchcase(end, pattern) for end in rest)


def find_all(packages: Path) -> Iterator[Found]:
    """All pictures of the packages of `packages.json`, and of the Python packages."""
    for folder in sorted(packages.iterdir()):
        name, _, version = folder.name.partition("_")
        if name in json.loads((HERE / "packages.json").read_text())["debian"]:
            yield from _of_package(folder, name, version)
    for row in json.loads((HERE / "packages.json").read_text())["python"]:
        yield _of_python(**row)


def _of_package(folder: Path, name: str, version: str) -> Iterator[Found]:
    known = stanzas((folder / "usr/share/doc" / name / "copyright").read_text(encoding="utf-8"))
    listed = json.loads((HERE / "packages.json").read_text())["debian"][name]
    known += [Stanza(**row) for row in listed]
    for path, read in _pictures(folder):
        its = stanza_of(path, known)
        if its is not None:
            yield Found(
                name,
                version,
                path,
                _title(path),
                its.author,
                its.licence,
                its.source,
                lambda read=read: Image.open(io.BytesIO(read())),
            )


def _title(path: str) -> str:
    parts = PurePosixPath(path)
    return f"{parts.parent.name}-{parts.stem}" if "activities" in path else parts.stem


def _pictures(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        if file.suffix == ".rcc":
            for inner, content in resources(file.read_bytes()):
                if inner.lower().endswith(SUFFIXES) and len(content) > 2**13:
                    yield inner, lambda content=content: content
        elif file.suffix.lower() in SUFFIXES and file.stat().st_size > 2**13:
            yield path, file.read_bytes


def _of_python(
    distribution: str, path: str, title: str, author: str, licence: str, source: str
) -> Found:
    root = Path(str(importlib.metadata.distribution(distribution).locate_file("")))
    return Found(
        distribution,
        importlib.metadata.version(distribution),
        path,
        title,
        author,
        licence,
        source,
        lambda: Image.open(root / path),
    )


def resources(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a binary Qt resource collection."""
    magic, version, tree, data, names = struct.unpack(">4sIIII", content[:20])
    if magic != b"qres":
        raise ValueError("expected a Qt resource collection")
    size = 14 if version < 2 else 22

    def walk(number: int, parents: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        at = tree + number * size
        name_at, flags = struct.unpack_from(">IH", content, at)
        length = struct.unpack_from(">H", content, names + name_at)[0]
        text = content[names + name_at + 6 : names + name_at + 6 + 2 * length]
        here = (*parents, text.decode("utf-16-be")) if number else parents
        if flags & 2:
            count, first = struct.unpack_from(">II", content, at + 6)
            for child in range(first, first + count):
                yield from walk(child, here)
        elif not flags & 4:
            start = data + struct.unpack_from(">I", content, at + 10)[0]
            end = start + 4 + struct.unpack_from(">I", content, start)[0]
            body = content[start + 4 : end]
            yield "/".join(here), zlib.decompress(body[4:]) if flags & 1 else body

    yield from walk(0, ())
