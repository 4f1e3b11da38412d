"""Bits a code of portable priors of photographs: both orders, with and without coarser codes.

    python benchmarks/portable_orders.py RUN TRAIN HELD_OUT PICTURE [--steps 1000]

RUN is a tokenizer of two levels; TRAIN and HELD_OUT are token files of photographs of two
orientations, made with

    vocabula train DATA/bsds500/train --preset photos-2level --out RUN training.steps=600
    vocabula encode RUN DATA/bsds500/train -o TRAIN
    vocabula encode RUN DATA/bsds500/val -o HELD_OUT

Every prior of the finest level takes the same number of steps on the same crops. Bits are those of
whole held-out photographs; the adaptive model's are those of files of one photograph each. Seconds
are those of writing and reading the finest level of PICTURE, in integers on one thread.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from PIL import Image

from vocabula import load
from vocabula.codec import AdaptiveModel, PortableModel
from vocabula.codec.models import EntropyModel
from vocabula.codec.span import Block
from vocabula.data.code_batches import train_code_batches
from vocabula.evaluation.code_nats import count_nats, measure_codes
from vocabula.levels import levels_of
from vocabula.priors import CodeGrid, Conditioning, PortablePrior
from vocabula.priors.conditioned import ConditionedCodes
from vocabula.priors.crops import Crops
from vocabula.priors.data import PriorData, read_prior_data
from vocabula.priors.sources import Sources
from vocabula.priors.start import start_from_codebooks
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

SIZE = {"hidden": 96, "layers": 2, "embedding": 12}
ORDERS = {"raster": {"reach": 4}, "interleaved": {"order": "interleaved", "reach": 3}}
BATCH = 16


def prior_of(data: ConditionedCodes, options: dict[str, Any]) -> PortablePrior:
    """A new prior of the level of some data, given all coarser levels."""
    layouts = zip(data.arrays.layouts, data.grids, strict=True)
    grids = [CodeGrid(spec.codebook_sizes, grid, spec.code_shape) for spec, grid in layouts]
    level = data.level
    return PortablePrior(grids[level], Conditioning(upper=grids[:level]), **SIZE, **options)


def alone(data: ConditionedCodes) -> ConditionedCodes:
    """The finest level as if there were no other."""
    arrays, crops = data.arrays, data.crops
    last = slice(-1, None)
    only = replace(
        arrays, layouts=arrays.layouts[last], levels=arrays.levels[last], sizes=arrays.sizes[last]
    )
    cut = Crops(crops.grid(len(arrays.levels) - 1), ((1, 1),), crops.reach)
    return replace(data, arrays=only, level=0, crops=cut)


def train(prior: PortablePrior, data: ConditionedCodes, steps: int) -> PortablePrior:
    """Take a number of steps; the learning rate rises and falls once."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.05)
    batches = train_code_batches(data.arrays, batch_size=BATCH, seed=0)
    for _ in range(steps):
        optimizer.zero_grad()
        prior.loss(*data.of(next(batches))).backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return prior.eval()


def picture_block(tokenizer: SignalTokenizer, path: Path) -> Block:
    """The codes of one picture, as files hold them."""
    pixels = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy())
    with inference(tokenizer):
        levels = levels_of(tokenizer.encode(pixels.permute(2, 0, 1)[None]))
    block = Block(
        tuple(level.spec.codebook_sizes for level in tokenizer.levels),
        tuple(((1, tuple(codes.shape[1:3])),) for codes in levels),
    )
    for codes in levels:
        flat = codes[0].flatten(0, 1).reshape(codes.shape[1] * codes.shape[2], -1)
        block.codes += list(flat.T.numpy().astype(np.uint32))
    return block


def last_stage(block: Block) -> Block:
    """The finest level of a block by itself."""
    return Block(block.books[-1:], block.grids[-1:], block.codes[-len(block.books[-1]) :])


def coded(model: EntropyModel, block: Block) -> dict[str, float]:
    """Bits a code of the finest level in integers, and the seconds of writing and reading."""
    stage = len(block.books) - 1
    before = Block(block.books, block.grids, block.codes[: block.streams(stage).start])
    start = time.process_time()
    content = model.encode(block, stage)
    middle = time.process_time()
    back = model.decode(before, stage, content)
    end = time.process_time()
    assert all(map(np.array_equal, back, block.codes[block.streams(stage).start :]))
    codes = len(block.books[stage]) * block.positions(stage)
    return {
        "bits_per_code": 8 * len(content) / codes,
        "write_seconds": middle - start,
        "read_seconds": end - middle,
    }


def adaptive_bits(data: ConditionedCodes) -> float:
    """Bits a code of the finest level by the adaptive model, a file for each photograph."""
    total = codes = 0.0
    spec = data.arrays.layouts[-1]
    for grid in data.arrays.levels[-1]:
        flat = grid.reshape(grid.shape[0] * grid.shape[1], -1).T
        block = Block((spec.codebook_sizes,), (((1, grid.shape[:2]),),), list(flat))
        block.codes = [np.ascontiguousarray(book, np.uint32) for book in flat]
        total += AdaptiveModel().bits(block, 0)
        codes += flat.size
    return total / codes


def study(
    data: PriorData,
    tokenizer: SignalTokenizer,
    block: Block,
    order: str,
    *,
    coarser: bool,
    steps: int,
) -> dict[str, Any]:
    """The figures of one prior."""
    fitted, held_out = data.fitted, data.held_out
    if not coarser:
        fitted, held_out = alone(fitted), alone(held_out)
    torch.manual_seed(0)
    prior = prior_of(fitted, ORDERS[order])
    if coarser:
        start_from_codebooks(prior, tokenizer, fitted.level)
    start = time.process_time()
    train(prior, fitted, steps)
    seconds = time.process_time() - start
    found = measure_codes(prior, held_out, batch_size=BATCH)
    first = [prior_of(data.of_level(0).fitted, ORDERS[order])] if coarser else []
    model = PortableModel([*first, prior])
    return {
        "order": order,
        "coarser_levels": coarser,
        "parameters": sum(p.numel() for p in prior.parameters()),
        "training_seconds": round(seconds, 1),
        "held_out_bits_per_code": found.nats_per_token / math.log(2),
        "by_book": (found.by_book / math.log(2)).tolist(),
        "picture": coded(model, block if coarser else last_stage(block)),
    }


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "train", "held_out", "picture"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = load(options.run)
    sources = Sources(options.train, held_out=options.held_out, classes=False)
    block = picture_block(tokenizer, options.picture)
    rows = []
    for order, settings in ORDERS.items():
        reach = PortablePrior.surround(settings)
        data = read_prior_data(tokenizer, sources, reach=reach)
        data = data.of_level(len(tokenizer.levels) - 1)
        for coarser in (True, False):
            rows.append(study(data, tokenizer, block, order, coarser=coarser, steps=options.steps))
            print(rows[-1], flush=True)
    counted = count_nats(data.fitted, data.held_out)
    bits = {name: getattr(counted, name) / math.log(2) for name in ("uniform", "order0", "left")}
    figures = {
        "tokenizer": tokenizer.fingerprint(),
        "steps": options.steps,
        "batch": BATCH,
        "crop": list(data.fitted.grids[-1]),
        "photographs": [len(data.fitted), len(data.held_out)],
        "sizes": sorted({tuple(size) for size in data.held_out.arrays.extents.tolist()}),
        "counting_bits_per_code": bits,
        "adaptive_bits_per_code": adaptive_bits(data.held_out),
        "priors": rows,
    }
    words = (
        f"python benchmarks/portable_orders.py RUN TRAIN HELD_OUT PICTURE --steps {options.steps}"
    )
    common.write_result("portable-orders", figures, words)


if __name__ == "__main__":
    main()
