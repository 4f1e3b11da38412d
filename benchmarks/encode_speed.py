"""Whether reading data starves the model: `encode` beside the bare model, by number of workers.

    python benchmarks/encode_speed.py DATA
    python benchmarks/encode_speed.py DATA --side 32 --presets photos=4000 cifar10=4000

DATA is a folder of JPEGs; it is repeated as often as needed. For each PRESET=IMAGES an untrained
tokenizer encodes that many: enough for some seconds, lest opening files be what is measured. Bare
model: the same batches, uint8, decoded before the clock starts, with as many torch threads. Encode:
`encode_dataset` from files to a finished file of codes. They take turns, and the ratio is the
median over rounds of bare seconds / encode seconds. Decoding alone is timed too: it shares the
cores with the model, so where it is not many times faster, it is the limit. --side cuts small
squares from the pictures: the smaller, the more a picture costs beside its pixels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import common
import torch
from PIL import Image

from vocabula import open_source
from vocabula.cli.process import keep_freed_memory
from vocabula.data import ImageSource
from vocabula.evaluation.batches import read_batches
from vocabula.pipelines import encode_dataset
from vocabula.tokenizers import Tokenizer, build_tokenizer
from vocabula.training import load_config

GOAL = 0.85
PRESETS = ["photos=400", "cifar10=120", "image-256=12"]  # light, medium and heavy


def make_folder(data: Path, folder: Path, count: int, side: int) -> Path:
    """`count` JPEGs: links to those of `data`, or squares cut from them at changing places."""
    files = sorted(f for f in data.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SystemExit(f"{data}: no JPEGs")
    folder.mkdir()
    for number, file in enumerate(islice(cycle(files), count)):
        place = folder / f"{number:06d}.jpg"
        if not side:
            place.symlink_to(file.resolve())
            continue
        with Image.open(file) as picture:
            left = 37 * number % (picture.width - side + 1)
            top = 91 * number % (picture.height - side + 1)
            square = picture.crop((left, top, left + side, top + side))
        square.save(place, quality=95)
    return folder


def seconds(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


class Contest:
    """One tokenizer, bare and reading files, over the first `count` images of a source."""

    def __init__(self, tokenizer: Tokenizer, source: ImageSource, count: int) -> None:
        self.tokenizer, self.source, self.count = tokenizer, source, count
        self.batches = [b.values for b in read_batches(source, limit=count)]

    def bare(self) -> None:
        """The model alone."""
        with torch.inference_mode():
            for images in self.batches:
                self.tokenizer.encode(images)

    def encode(self, workers: int, out: Path) -> None:
        """From files to a file of codes."""
        encode_dataset(
            self.tokenizer, self.source, out, limit=self.count, workers=workers, overwrite=True
        )

    def decode(self, workers: int) -> None:
        """From files to batches, without the model."""
        for _ in read_batches(self.source, limit=self.count, workers=workers):
            pass

    def run(self, workers: list[int], rounds: int, out: Path) -> dict[str, Any]:
        """Figures of all contestants, which take turns."""
        bare: list[float] = []
        whole: dict[int, list[float]] = {w: [] for w in workers}
        alone: dict[int, list[float]] = {w: [] for w in workers}
        self.bare()  # the first pass allocates
        for turn in range(rounds):
            bare.append(seconds(self.bare))
            for w in workers if turn % 2 == 0 else workers[::-1]:
                whole[w].append(seconds(lambda w=w: self.encode(w, out)))
                alone[w].append(seconds(lambda w=w: self.decode(w)))
        rows = {
            str(w): {
                "encode_images_per_second": self.count / statistics.median(whole[w]),
                "ratio": statistics.median(b / s for b, s in zip(bare, whole[w], strict=True)),
                "decode_images_per_second": self.count / statistics.median(alone[w]),
            }
            for w in workers
        }
        rate = self.count / statistics.median(bare)
        return {"images": self.count, "bare_images_per_second": rate, "workers": rows}


def verdict(figures: dict[str, Any]) -> dict[str, Any]:
    """Where it saturates, in figures and in words."""
    rows = figures["workers"]
    best = max(rows, key=lambda w: rows[w]["ratio"])
    enough = [w for w in rows if rows[w]["ratio"] >= GOAL]
    saturated = next(w for w in rows if rows[w]["ratio"] >= 0.98 * rows[best]["ratio"])
    decode = max(row["decode_images_per_second"] for row in rows.values())
    times = decode / figures["bare_images_per_second"]
    reached = f"{GOAL:.0%} from {enough[0]} workers on" if enough else f"{GOAL:.0%} never"
    words = (
        f"{reached}; best {rows[best]['ratio']:.3f}, within 2% of it from {saturated} workers on; "
        f"decoding alone is {times:.1f} times as fast as the model alone"
    )
    return {"decode_over_bare": times, "saturates_at_workers": int(saturated), "verdict": words}


def main() -> None:
    """Time every preset and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of JPEGs")
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="PRESET=IMAGES")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--side", type=int, default=0, help="of squares cut out, in pixels")
    parser.add_argument("--name", default="encode-speed", help="name of the result")
    parser.add_argument("--out", type=Path, help="folder of the result; default: results/")
    options = parser.parse_args()
    keep_freed_memory()  # as the command does; without it both are slower, and noisier
    if options.out is not None:
        common.RESULTS = options.out
    counts = {name: int(n) for name, _, n in (p.partition("=") for p in options.presets)}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        jpegs = Path(scratch) / "jpegs"
        folder = make_folder(options.data, jpegs, max(counts.values()), options.side)
        opened = time.perf_counter()
        source = open_source(folder, channels=3)
        opening = (time.perf_counter() - opened) / len(source)
        for preset, count in counts.items():
            torch.manual_seed(0)
            tokenizer = build_tokenizer(load_config(preset, []).sections, channels=3).eval()
            out = Path(scratch) / "tokens.parquet"
            figures = Contest(tokenizer, source, count).run(options.workers, options.rounds, out)
            found[preset] = figures | verdict(figures)
            print(f"{preset}: {found[preset]['verdict']}", flush=True)
    common.write_result(
        options.name,
        {
            "goal": GOAL,
            "torch_threads": torch.get_num_threads(),
            "rounds": options.rounds,
            "side": options.side or "whole pictures",
            "opening_ms_per_image": 1e3 * opening,
            "presets": found,
        },
    )


if __name__ == "__main__":
    main()
