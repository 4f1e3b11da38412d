"""Collects the photographs that the tokenizer in the package is trained on.

    apt-get download NAME && dpkg-deb -x NAME_VERSION_ARCH.deb PACKAGES/NAME_VERSION
    python benchmarks/default/collect.py candidates PACKAGES OUT    contact sheets to look at
    python benchmarks/default/collect.py photos PACKAGES OUT        OUT/train, OUT/heldout

The packages are those of `packages.json`. A picture is a candidate if its package's copyright file
puts it under one of `LICENCES`, it is opaque and large enough. People looked at every candidate:
`photographs.json` names those that are photographs. Each is shrunk to at most half its sides, so
that the artefacts of its first compression vanish. `photos.json` lists the result: author,
licence, package and path of every picture. A tenth, chosen by a hash of the name, is held out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from sources import Found, find_all

HERE = Path(__file__).parent
LICENCES = ("CC0", "public-domain", "CC-BY-1", "CC-BY-2", "CC-BY-3", "CC-BY-4", "CC-BY-SA")
SHRINK = 2
"""Least factor by which both sides shrink."""
LONGEST = 1536
"""Most pixels of the longer side afterwards."""
SHORTEST = 160
"""Fewest pixels of the shorter side afterwards."""
HELD_OUT = 10
"""One in so many photographs is held out."""


@dataclass(frozen=True)
class Candidate:
    """A picture whose terms allow it, in its final size."""

    found: Found
    name: str
    picture: Image.Image
    original: tuple[int, int]


def allowed(licence: str) -> bool:
    """Whether the terms permit changed copies for any purpose."""
    return "NC" not in licence and "ND" not in licence and licence.startswith(LICENCES)


def shrunk(picture: Image.Image) -> Image.Image | None:
    """The picture in at most half its size; None if that is too small, or it is not opaque."""
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        return None
    factor = max(SHRINK, max(picture.size) / LONGEST)
    width, height = (int(side / factor) for side in picture.size)
    if min(width, height) < SHORTEST:
        return None
    grey = picture.mode in ("L", "I;16", "1")
    return picture.convert("L" if grey else "RGB").resize((width, height), Image.Resampling.LANCZOS)


def candidates(packages: Path) -> Iterator[Candidate]:
    """Every picture whose terms and size allow it, by name."""
    seen: set[str] = set()
    for found in find_all(packages):
        if not allowed(found.licence):
            continue
        name = f"{found.package}--{found.title}.png".replace(" ", "_")
        if name in seen:
            continue
        picture = found.open()
        small = shrunk(picture)
        if small is not None:
            seen.add(name)
            yield Candidate(found, name, small, picture.size)


def sheets(found: Iterator[Candidate], out: Path, columns: int = 8, rows: int = 6) -> None:
    """Contact sheets with names, and the list of all names."""
    names: list[str] = []
    cell, sheet = 200, None
    for number, candidate in enumerate(found):
        place = number % (columns * rows)
        if place == 0:
            sheet = Image.new("RGB", (columns * cell, rows * (cell + 14)), "white")
        assert sheet is not None
        thumb = candidate.picture.convert("RGB")
        thumb.thumbnail((cell - 4, cell - 4))
        x, y = place % columns * cell, place // columns * (cell + 14)
        sheet.paste(thumb, (x, y + 12))
        ImageDraw.Draw(sheet).text((x + 2, y), f"{number} {candidate.found.title[:26]}", "black")
        sheet.save(out / f"sheet-{number // (columns * rows):02}.png")
        names.append(candidate.name)
    (out / "candidates.json").write_text(json.dumps(names, indent=0) + "\n")


def photos(found: Iterator[Candidate], out: Path) -> list[dict[str, object]]:
    """Write the photographs, and describe each."""
    chosen = set(json.loads((HERE / "photographs.json").read_text()))
    held_out = sorted(chosen, key=_digest)[: len(chosen) // HELD_OUT]
    rows: list[dict[str, object]] = []
    for candidate in found:
        if candidate.name not in chosen:
            continue
        split = "heldout" if candidate.name in held_out else "train"
        (out / split).mkdir(parents=True, exist_ok=True)
        candidate.picture.save(out / split / candidate.name, compress_level=4)
        rows.append(
            {
                "file": f"{split}/{candidate.name}",
                "title": candidate.found.title,
                "author": candidate.found.author,
                "licence": candidate.found.licence,
                "source": candidate.found.source,
                "package": candidate.found.package,
                "version": candidate.found.version,
                "path": candidate.found.path,
                "original": list(candidate.original),
                "size": list(candidate.picture.size),
            }
        )
    missing = chosen - {str(row["file"]).partition("/")[2] for row in rows}
    if missing:
        raise SystemExit(f"photographs.json: not found in the packages: {sorted(missing)}")
    return sorted(rows, key=lambda row: str(row["file"]))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["candidates", "photos"])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = candidates(options.packages)
    if options.task == "candidates":
        sheets(found, options.out)
    else:
        rows = photos(found, options.out)
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        (HERE / "photos.json").write_text(text, encoding="utf-8")
        print(f"{len(rows)} photographs, {sum('heldout' in str(r['file']) for r in rows)} held out")


if __name__ == "__main__":
    main()
