"""Two levels of codes beside one at the same bits per image, on CIFAR-10.

    python benchmarks/hierarchy.py DATA --steps 10000

DATA is a folder with ``train.parquet`` and ``test.parquet`` (Hugging Face image feature). The
presets `cifar10` and `cifar10-2level` spend 576 bits on an image. Same batches, steps, widths and
seed; each preset has its own learning rate. What a level holds is the PSNR that is lost when its
values are replaced by their mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from pictures import load_pictures, rounded, save_sheet, write_figures
from presets import train_presets
from torch import Tensor

from vocabula import open_source
from vocabula.evaluation import evaluate
from vocabula.evaluation.ablation import without_each_level
from vocabula.evaluation.metrics.similarity import mse, psnr
from vocabula.tokenizers import SignalTokenizer

RUNS = {"flat": "cifar10", "two levels": "cifar10-2level"}


def measured(tokenizer: SignalTokenizer, data: str, seconds: float) -> dict[str, Any]:
    """Figures on the test images, and PSNR without each level."""
    result = evaluate(tokenizer, open_source(data))
    figures: dict[str, Any] = {
        "parameters": sum(p.numel() for p in tokenizer.parameters()),
        "bits_per_image": result.code_bits_per_pixel * 32 * 32,
        "training_seconds": seconds,
        "psnr": result.psnr,
        "psnr_all_pixels": result.psnr_all_pixels,
        "ssim": result.ssim,
        "books": {book.name: [book.size, book.perplexity] for book in result.books},
    }
    images = load_pictures(data, 1000)[0].float() / 255
    lost: dict[str, list[Tensor]] = {}
    for batch in images.split(100):
        with torch.inference_mode():
            found = tokenizer.analyse(batch)
            for level, output in without_each_level(tokenizer, found, (32, 32), result.mean_values):
                lost.setdefault(f"psnr_without_{level.title}", []).append(psnr(mse(output, batch)))
    return figures | {name: float(torch.cat(parts).mean()) for name, parts in lost.items()}


def sheet(tokenizers: dict[str, SignalTokenizer], data: str) -> str:
    """Test images above what remains of them through each tokenizer."""
    images = load_pictures(data, 12)[0]
    rows = [images.float() / 255, *(t.reconstruct(images) for t in tokenizers.values())]
    return save_sheet("hierarchy", torch.cat(rows), 12, scale=2)


def main() -> None:
    """Train, measure, write the result and the sheet of reconstructions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    options = parser.parse_args()
    tokenizers, rows = train_presets(
        RUNS,
        options.data,
        options.steps,
        options.keep,
        lambda tokenizer, data, last: measured(tokenizer, data, last["seconds"]),
    )
    figures = {
        "steps": options.steps,
        "runs": rows,
        "two_levels_minus_flat_db": rows["two levels"]["psnr"] - rows["flat"]["psnr"],
        "sheet": sheet(tokenizers, str(options.data / "test.parquet")),
    }
    words = ["hierarchy.py", "DATA", "--steps", str(options.steps)]
    write_figures("hierarchy", words, rounded(figures))


if __name__ == "__main__":
    main()
