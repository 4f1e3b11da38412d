"""Turns a trained run and its portable prior into the tokenizer that the package carries.

    vocabula train PHOTOS/train --preset photos-rd --out RUN
    vocabula export RUN TOKENIZER --half
    vocabula counts TOKENIZER PHOTOS/train
    vocabula encode TOKENIZER PHOTOS/train --quality Q -o codes/Q.parquet    for several Q
    vocabula train-prior TOKENIZER 'codes/*.parquet' --model portable-photos -o PRIOR
    python benchmarks/default/make.py PRIOR --figures FIGURES.json

PHOTOS is what `collect.py` writes. PRIOR holds its tokenizer. The folder in the package, its golden
files (tests/frozen/default) and its card are written. The fingerprint is final from then on: a
better tokenizer gets the next name, and the older one stays.

FIGURES.json has the commands that made the model, its seed, and tables of figures by title:

    {"commands": ["vocabula train ..."], "seed": 0,
     "tables": {"Kodak": {"columns": ["bits per pixel", "PSNR"], "rows": [["0.25", "28.9"]]}}}
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vocabula import codec
from vocabula.codec import offered_models
from vocabula.files.packaged import CURRENT, ROOT, packaged
from vocabula.pipelines.export import export_prior
from vocabula.priors import load_generator
from vocabula.tokenizers import load

HERE = Path(__file__).parent
FROZEN = HERE.parents[1] / "tests" / "frozen" / "default"
LARGEST = 6 * 2**20
"""Most bytes of all files together."""
CARD = """\
# {name}

The tokenizer for photographs that comes with vocabula, with the portable prior of its codes.

    vocabula compress photo.png
    vocabula decompress photo.vcb

- fingerprint: `{fingerprint}`
- files: {size:.2f} MB
- seed: {seed}

## How it was made

{commands}

## Figures

{tables}

## Terms

The weights are under the Apache License 2.0, as is vocabula. They were computed from the
photographs below. Each is in the public domain, or under CC0, CC BY or CC BY-SA, which allow copies
and changed copies for any purpose. The weights are {parameters:,} numbers that were fitted to
{pixels:.0f} million pixels. They hold no photograph, and are therefore taken not to be an
adaptation in the sense of CC BY-SA. Authors and licences are named all the same, as CC BY and CC
BY-SA ask for whatever is made with a work. Photographs under other terms were left out, among them
GPL, GFDL, non-commercial terms and terms without derivatives.

## Photographs

{count} photographs, of which {held_out} were held out of training. Every one was shrunk to half its
sides or less. Title, author, licence, source, package and version follow. The licences CC-BY-SA-3.0
and their like are at creativecommons.org/licenses/by-sa/3.0, CC0 at
creativecommons.org/publicdomain/zero/1.0.

{photographs}
"""


def photographs(rows: list[dict[str, Any]]) -> str:
    """One line for each photograph."""
    lines = []
    for row in rows:
        held_out = ", held out" if row["file"].startswith("heldout/") else ""
        source = f", {row['source']}" if row["source"] else ""
        whose = f"{row['title']}, {row['author']}, {row['licence']}"
        lines.append(f"- {whose}{source}, {row['package']} {row['version']}{held_out}")
    return "\n".join(lines)


def table(content: dict[str, Any]) -> str:
    """A table in Markdown."""
    columns = content["columns"]
    head = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in content["rows"])])


def card(folder: Path, figures: dict[str, Any], photos: list[dict[str, Any]]) -> str:
    """The text of the card."""
    generator = load_generator(folder)
    models = [generator.tokenizer, *generator.priors]
    commands = "\n".join(f"    {command}" for command in figures["commands"])
    tables = "\n\n".join(f"### {title}\n\n{table(one)}" for title, one in figures["tables"].items())
    return CARD.format(
        name=CURRENT,
        fingerprint=generator.tokenizer.fingerprint(),
        size=total(folder) / 1e6,
        seed=figures["seed"],
        commands=commands,
        tables=tables,
        parameters=sum(parameter.numel() for one in models for parameter in one.parameters()),
        pixels=sum(row["size"][0] * row["size"][1] for row in photos) / 1e6,
        count=len(photos),
        held_out=sum(row["file"].startswith("heldout/") for row in photos),
        photographs=photographs(photos),
    )


def total(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def pictures() -> dict[str, np.ndarray]:
    """Small pictures of all that the tokenizer meets: an edge, a slope, noise, one pixel."""
    down, across = np.mgrid[:37, :53]
    slope = np.stack([down * 6, across * 4, 255 - down * 3], -1)
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3))
    edge = np.where((down + across < 45)[..., None], [200, 30, 60], [20, 90, 220])
    flat, one = np.full((16, 16, 3), 128), np.array([[[255, 0, 128]]])
    found = {"slope": slope, "noise": noise, "edge": edge, "flat": flat, "one": one}
    return {name: picture.astype(np.uint8) for name, picture in found.items()}


def golden(folder: Path, target: Path) -> None:
    """Files that every later release opens, and the pictures that they decode to."""
    import torch

    target.mkdir(parents=True, exist_ok=True)
    tokenizer = load(folder / "tokenizer")
    models = offered_models(tokenizer, prior=folder)
    for name, picture in pictures().items():
        image = torch.from_numpy(picture).permute(2, 0, 1)[None]
        for entropy, model in {"portable": models[0], "adaptive": "adaptive"}.items():
            file = target / f"{name}-{entropy}.vcb"
            codec.write(file, image, tokenizer, entropy=model, overwrite=True)
        decoded = codec.read(file, tokenizer)[0].permute(1, 2, 0).numpy()
        Image.fromarray(decoded).save(target / f"{name}.png")
    said = {"name": folder.name, "fingerprint": tokenizer.fingerprint(), "bytes": total(folder)}
    (target / "expected.json").write_text(json.dumps(said, indent=1) + "\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--replace", action="store_true", help="one that was never released")
    options = parser.parse_args()
    folder = ROOT / CURRENT
    if folder.exists() and not options.replace:
        raise SystemExit(f"{folder}: exists; a released tokenizer never changes, so name the next")
    shutil.rmtree(folder, ignore_errors=True)
    export_prior(options.prior, folder, half=True)
    photos = json.loads((HERE / "photos.json").read_text(encoding="utf-8"))
    text = card(folder, json.loads(options.figures.read_text()), photos)
    (folder / "README.md").write_text(text, encoding="utf-8")
    for other in folder.rglob("README.md"):  # one card for all parts
        if other.parent != folder:
            other.unlink()
    if total(folder) > LARGEST:
        shutil.rmtree(folder)
        raise SystemExit(
            f"{folder}: expected at most {LARGEST} bytes, got more; train a smaller one"
        )
    golden(folder, FROZEN / CURRENT)
    print(f"{packaged()[CURRENT].fingerprint} {total(folder)} bytes in {folder}")


if __name__ == "__main__":
    main()
