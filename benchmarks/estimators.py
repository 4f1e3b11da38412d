"""Estimators and learning rules beside our default vector quantizer, on CIFAR-10.

    python benchmarks/estimators.py DATA                    train every one, one after another
    python benchmarks/estimators.py DATA --only diveq ibq   train these; the others' figures stay
    python benchmarks/estimators.py DATA --timing           time a step of each, taking turns

Equal networks (the published CIFAR-10 ones), initial weights, batches and optimizer for every one.
DATA is a folder with ``train.parquet`` and ``test.parquet``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside_rival import BATCH, DIM, SIZE, Contestant
from common import result, write_result
from torch import Tensor

import vocabula as v
from vocabula.data import ImageData
from vocabula.nn import VQVAEDecoder, VQVAEEncoder
from vocabula.training import load_config

NAME = "estimators"
Make = Callable[[], v.VectorQuantizer]


def quantizer(**options: Any) -> Make:
    """The maker of a quantizer with the preset's sizes."""
    return lambda: v.VectorQuantizer(DIM, SIZE, **options)


MAKERS: dict[str, Make] = {
    "default": quantizer(),
    "diveq": quantizer(
        estimator=v.DiVeQ(), learning=v.Gradient(), commitment_weight=0.0, codebook_weight=0.0
    ),
    "ibq": quantizer(estimator=v.IndexBackpropagation(), learning=v.Gradient()),
    "fvq": quantizer(
        learning=v.NetworkReparametrization(v.AttentionTransform(DIM, patch=8), frozen=False)
    ),
    "simvq": quantizer(learning=v.LinearReparametrization()),
    "rotation": quantizer(estimator="rotation"),
    "mlp": quantizer(learning=v.NetworkReparametrization(v.MLPTransform(DIM))),
    "gradient": quantizer(learning=v.Gradient()),
}


def contestant(name: str, seed: int) -> Contestant:
    """One quantizer between networks that are equal for all."""
    torch.manual_seed(seed)
    encoder, decoder = VQVAEEncoder(3, DIM), VQVAEDecoder(DIM, 3)
    torch.manual_seed(seed + 1)
    return Contestant(MAKERS[name](), encoder, decoder)


def batches(data: Path, seed: int) -> Any:
    """The training batches (B, 3, 32, 32) uint8, in an order that the seed gives."""
    source = v.open_source(str(data / "train.parquet"))
    return ImageData(channels=3).train_batches(source, batch_size=BATCH, seed=seed)


def trained(name: str, data: Path, steps: int, seed: int, spread: float, test: Tensor) -> Any:
    """Train one and measure it."""
    one = contestant(name, seed)
    for step, batch in zip(range(1, steps + 1), batches(data, seed), strict=False):
        one.train_step(batch.values / 255, spread)
        if step % 100 == 0:
            print(name, step, np.mean(one.recent, 0).round(4).tolist(), flush=True)
    names = ("mse_over_variance", "perplexity")
    last = dict(zip(names, np.mean(one.recent, 0).tolist(), strict=True))
    return {
        "steps": steps,
        "images": len(test),
        "test": one.test(test, spread),
        "last_100_batches": last,
    }


def timed(names: list[str], data: Path, steps: int, seed: int, spread: float) -> dict[str, Any]:
    """The median time of a step, and its median ratio to the default's step on the same batch."""
    made = {name: contestant(name, seed) for name in names}
    for step, batch in zip(range(steps), batches(data, seed), strict=False):
        order = list(made.values())
        turn = step % len(order)
        for one in order[turn:] + order[:turn]:
            one.train_step(batch.values / 255, spread)
    skipped = steps // 4  # the first steps fit the codebook
    taken = {name: one.seconds[skipped:] for name, one in made.items()}
    base = taken["default"]
    return {
        name: {
            "median_step_ms": 1e3 * statistics.median(seconds),
            "over_default": statistics.median([a / b for a, b in zip(seconds, base, strict=True)]),
        }
        for name, seconds in taken.items()
    }


def main() -> None:
    """Train or time, and merge the figures into the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--images", type=int, help="the first test images alone; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--timing", action="store_true", help="60 steps of each, no training")
    options = parser.parse_args()
    spread = load_config("cifar10").sections["likelihood"]["variance"]
    figures = {"batch": BATCH, "codebook_size": SIZE, "dim": DIM, "variance": spread}
    if options.timing:
        times = timed(options.only, options.data, 60, options.seed, spread)
        write_result(NAME, {**merged(), **figures, "step": times})
        return
    source = v.open_source(str(options.data / "test.parquet"))
    count = min(options.images or len(source), len(source))
    test = torch.from_numpy(np.stack([source.read(i).image for i in range(count)])).movedim(-1, 1)
    for name in options.only:
        found = trained(name, options.data, options.steps, options.seed, spread, test)
        before = merged()
        runs = {**before.get("runs", {}), name: found}
        write_result(NAME, {**before, **figures, "seed": options.seed, "runs": runs})


def merged() -> dict[str, Any]:
    """The figures that were measured before."""
    kept = ("runs", "step", "seed")
    return {key: value for key, value in (result(NAME) or {}).items() if key in kept}


if __name__ == "__main__":
    main()
