"""Codes of several scales beside one grid of codes at the same bits per image, on CIFAR-10.

    python benchmarks/multi_scale.py DATA --steps 2000

DATA is a folder with ``train.parquet`` and ``test.parquet`` (Hugging Face image feature). The
presets `cifar10` and `cifar10-multiscale` spend 576 bits on an image. Same networks, batches, steps
and seed. The error after n scales is that of the pictures decoded from their codes alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from pictures import load_pictures, rounded, write_figures
from presets import train_presets

from vocabula import open_source
from vocabula.evaluation import evaluate
from vocabula.evaluation.metrics.similarity import mse
from vocabula.tokenizers import MultiScaleTokenizer, SignalTokenizer

RUNS = {"one grid": "cifar10", "multi-scale": "cifar10-multiscale"}
ROUNDS = 15


def measured(tokenizer: SignalTokenizer, data: str, images: int) -> dict[str, Any]:
    """Figures on the test images, and the error after each scale."""
    result = evaluate(tokenizer, open_source(data), limit=images)
    figures: dict[str, Any] = {
        "bits_per_image": result.code_bits_per_pixel * 32 * 32,
        "mse": result.mse,
        "psnr": result.psnr,
        "books": {book.name: [book.size, book.perplexity, book.usage] for book in result.books},
    }
    if isinstance(tokenizer, MultiScaleTokenizer):
        figures["mse_after_scale"] = after_each_scale(tokenizer, data, images)
    return figures


@torch.inference_mode()
def after_each_scale(tokenizer: MultiScaleTokenizer, data: str, images: int) -> list[float]:
    """Mean squared error of pictures of the first 1, 2, ... scales."""
    errors = torch.zeros(len(tokenizer.levels), dtype=torch.float64)
    pictures = load_pictures(data, images)[0].float() / 255
    for batch in pictures.split(100):
        codes = tokenizer.encode(batch)
        for count in range(1, len(codes) + 1):
            shown = tokenizer.decode(codes[:count], size=(32, 32))
            errors[count - 1] += mse(shown, batch).sum()
    return (errors / len(pictures)).tolist()


def step_seconds(tokenizers: dict[str, SignalTokenizer]) -> dict[str, float]:
    """Seconds of a training step of batch 32 without the optimizer, the tokenizers in turns."""
    x = torch.rand(32, 3, 32, 32)
    seconds: dict[str, list[float]] = {name: [] for name in tokenizers}
    for _ in range(ROUNDS):
        for name, tokenizer in tokenizers.items():
            started = time.perf_counter()
            tokenizer.train()(x).loss.backward()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    """Train, measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--images", type=int, default=2000, help="test images that are measured")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    options = parser.parse_args()
    tokenizers, rows = train_presets(
        RUNS,
        options.data,
        options.steps,
        options.keep,
        lambda tokenizer, data, _: measured(tokenizer, data, options.images),
    )
    for name, seconds in step_seconds(tokenizers).items():
        rows[name]["step_seconds"] = seconds
    figures = {"steps": options.steps, "images": options.images, "runs": rows}
    words = ["multi_scale.py", "DATA", "--steps", str(options.steps)]
    write_figures("multi-scale", words, rounded(figures, 6))


if __name__ == "__main__":
    main()
