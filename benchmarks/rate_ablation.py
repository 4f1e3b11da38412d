"""What each part of `photos-rd` gains before any training by gradient.

    python benchmarks/rate_ablation.py KODAK --train PHOTOS [--images 60] [--rows ...]

The transforms stay at their start, and codebooks are fitted to PHOTOS by passes over all vectors.
Every row changes one part of the preset; files of KODAK are measured as in rate_distortion.py, with
the adaptive model and counts of the codes of PHOTOS.
"""

from __future__ import annotations

import argparse
import copy
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import row, write_result
from rate_distortion import RATES, at_rates, own, pictures
from torch import Tensor

import vocabula.training
from vocabula.codec.choice import choose_model
from vocabula.codec.code_order import orders_of
from vocabula.codec.stages import discrete
from vocabula.tokenizers import HierarchicalTokenizer, build_tokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

PRESET = Path(vocabula.training.__file__).parent / "presets/photos-rd.toml"
PASSES, PARTS = 4, 8
QUALITIES = (5, 20, 35, 50, 62)
Specs = dict[str, Any]


def books(specs: Any) -> Iterator[Specs]:
    """The settings of every codebook."""
    if isinstance(specs, dict):
        if specs.get("name") == "vector":
            yield specs
        specs = list(specs.values())
    if isinstance(specs, list):
        for each in specs:
            yield from books(each)


def no_contexts(specs: Specs) -> None:
    for book in books(specs):
        book["rate"]["contexts"] = 1


def no_null(specs: Specs) -> None:
    for book in books(specs):
        book["rate"]["null"] = False


def one_stage(specs: Specs) -> None:
    for level in ("level1", "level2"):
        parts = specs[level]["quantizer"]["parts"]
        specs[level]["quantizer"]["parts"] = [
            part["stages"][0] if part["name"] == "residual" else part for part in parts
        ]


def greedy(specs: Specs) -> None:
    for level in ("level1", "level2"):
        for part in specs[level]["quantizer"]["parts"]:
            part.pop("beam", None)


def no_rate(specs: Specs) -> None:
    for book in books(specs):
        book["rate"] |= {"weight": 1e-9, "contexts": 1, "spread": 1.0}


def whole(specs: Specs) -> None:
    """The preset as it is."""


ROWS: dict[str, Callable[[Specs], None]] = {
    "all": whole,
    "one table": no_contexts,
    "one stage": one_stage,
    "no beam": greedy,
    "no null codeword": no_null,
    "no rate term": no_rate,
}


@torch.no_grad()
def fitted(specs: Specs, images: list[np.ndarray]) -> HierarchicalTokenizer:
    """A tokenizer whose codebooks are fitted level by level, the coarsest first."""
    for book in books(specs):
        book["learning"] = {"name": "ema", "decay": 0.9}
        book["initialization"] = {"name": "kmeans", "refit_until": 0}
        book["rate"]["decay"] = 0.9
    torch.manual_seed(0)
    tokenizer = build_tokenizer(specs, 3)
    assert isinstance(tokenizer, HierarchicalTokenizer)
    coarse, fine = tokenizer._levels
    features = []
    for image in images:
        sides = [side // 16 * 16 for side in image.shape[:2]]
        x = torch.from_numpy(image[: sides[0], : sides[1]]).permute(2, 0, 1)[None] / 255 - 0.5
        features.append(fine(x))
    above = [coarse.vectors(coarse(f)) for f in features]
    learn(coarse.quantizer, torch.cat([z.flatten(0, 2) for z in above]), None)
    left, activity = [], []
    for f, z in zip(features, above, strict=True):
        context = coarse.decode(coarse.quantizer.evaluate(z)[1])
        left.append(fine.vectors(f, context).flatten(0, 2))
        activity.append(tokenizer._activity(fine, context))
    known = [each for each in activity if each is not None]
    learn(fine.quantizer, torch.cat(left), torch.cat(known) if known else None)
    return tokenizer.eval()


def learn(quantizer: Any, z: Tensor, activity: Tensor | None) -> None:
    """Fit a quantizer to vectors (N, D) by passes in random order."""
    quantizer.train()
    for number in range(PASSES):
        order = torch.randperm(len(z))
        for part in order.chunk(1 if number == 0 else PARTS):
            quantizer.activity = None if activity is None else activity[part]
            quantizer(z[part])
    quantizer.eval().activity = None


def counted(tokenizer: HierarchicalTokenizer, images: list[np.ndarray]) -> CodeStatistics:
    """Counts of the codes of images."""
    quantizers = discrete(tokenizer)
    counts = [np.zeros(size, np.int64) for q in quantizers for size in q.codebook_sizes]
    for image in images:
        levels = tokenizer.encode(torch.from_numpy(image).permute(2, 0, 1)[None])
        columns = [c for codes in levels for c in codes.flatten(0, -2).T.numpy()]
        for count, codes in zip(counts, columns, strict=True):
            count += np.bincount(codes, minlength=len(count))
    return CodeStatistics(tokenizer.fingerprint(), tuple(counts), orders_of(quantizers, counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data")
    parser.add_argument("--train", required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--name", default="rate-ablation")
    given = parser.parse_args()
    tests, images = pictures(given.data), pictures(given.train)[: given.images]
    preset = tomllib.loads(PRESET.read_text(encoding="utf-8"))
    figures: dict[str, Any] = {"rates": RATES, "images": len(images), "rows": {}}
    for name in given.rows:
        specs = copy.deepcopy(preset)
        ROWS[name](specs)
        tokenizer = fitted(specs, images)
        model = choose_model("adaptive", counted(tokenizer, images[::2]))
        curve, seconds = own(tokenizer, model, 0, tests, QUALITIES)
        found = {"curve": curve, "at_rates": at_rates(curve), "cpu_seconds": seconds}
        figures["rows"][name] = found
        print(row(name, *found["at_rates"]), flush=True)
    write_result(given.name, figures)


if __name__ == "__main__":
    main()
