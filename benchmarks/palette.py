"""Colour palettes beside Pillow's and scikit-learn's: PSNR, seconds and bytes as PNG.

    python benchmarks/palette.py DATA
    python benchmarks/palette.py DATA --colors 64 --rounds 5 --without scikit-learn

DATA is a folder of photographs, such as Kodak's. Every method chooses a palette of so many colours
and gives each pixel one; all are written by the same PNG writer, so that the bytes compare palettes
alone. Seconds are those for palette and codes of one image, without reading and writing: of each
image the median over rounds, in which the methods take turns, then the mean and the largest over
images. Processor seconds, all threads together, depend less on what else the machine does.
scikit-learn's KMeans runs on the distinct colours weighted by their counts, as ours does (one
start, otherwise its defaults); its MiniBatchKMeans on all pixels. libimagequant takes part where
Pillow was built with it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import PIL
import torch
from palette_page import table
from PIL import Image, features
from sklearn.cluster import KMeans, MiniBatchKMeans

from vocabula import palette
from vocabula.benchmark.record import version

OURS, MEDIAN_CUT = "vocabula", "Pillow median cut"
GOAL_DB, GOAL_SECONDS = 2.0, 1.0

Method = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""From an image (H, W, 3) and a number of colours to codes (H, W) and a palette (K, 3)."""


def ours(image: np.ndarray, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means of this library."""
    book = palette.fit(image, colors)
    return palette.encode(image, book), book


def dithered(image: np.ndarray, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """The same palette with error diffusion."""
    book = palette.fit(image, colors)
    return palette.encode(image, book, dither=True), book


def pillow(method: Image.Quantize) -> Method:
    """One of Pillow's methods, without dithering."""

    def quantize(image: np.ndarray, colors: int) -> tuple[np.ndarray, np.ndarray]:
        picture = Image.fromarray(image).quantize(colors, method=method, dither=Image.Dither.NONE)
        book = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return np.asarray(picture), book

    return quantize


def scikit_kmeans(image: np.ndarray, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """KMeans on the distinct colours, weighted."""
    rows, places, counts = np.unique(
        image.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    found = KMeans(colors, n_init=1, random_state=0).fit(rows.astype(np.float32), None, counts)
    book = found.cluster_centers_.round().clip(0, 255).astype(np.uint8)
    codes = found.labels_[places.reshape(-1)].reshape(image.shape[:2])
    return codes, book


def scikit_minibatch(image: np.ndarray, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """MiniBatchKMeans on all pixels, with its defaults."""
    pixels = image.reshape(-1, 3).astype(np.float32)
    found = MiniBatchKMeans(colors, n_init=1, random_state=0).fit(pixels)
    book = found.cluster_centers_.round().clip(0, 255).astype(np.uint8)
    return found.predict(pixels).reshape(image.shape[:2]), book


def methods() -> dict[str, Method]:
    """What is compared, by name."""
    found: dict[str, Method] = {
        OURS: ours,
        f"{OURS}, dithered": dithered,
        MEDIAN_CUT: pillow(Image.Quantize.MEDIANCUT),
        "Pillow fast octree": pillow(Image.Quantize.FASTOCTREE),
    }
    if features.check("libimagequant"):
        found["libimagequant in Pillow"] = pillow(Image.Quantize.LIBIMAGEQUANT)
    found["scikit-learn KMeans"] = scikit_kmeans
    found["scikit-learn MiniBatchKMeans"] = scikit_minibatch
    return found


def figures_of(method: Method, image: np.ndarray, colors: int) -> dict[str, float]:
    """Seconds of one call, and what it gives."""
    wall, work = time.perf_counter(), time.process_time()
    codes, book = method(image, colors)
    wall, work = time.perf_counter() - wall, time.process_time() - work
    error = np.square(book[codes].astype(np.float64) - image).mean()
    return {
        "seconds": wall,
        "processor_seconds": work,
        "psnr": float(10 * np.log10(255**2 / error)),
        "bytes": len(palette.png_bytes(codes, book)),
    }


def of_image(
    image: np.ndarray, colors: int, rounds: int, chosen: dict[str, Method]
) -> dict[str, dict[str, float]]:
    """Figures of every method on one image, the methods taking turns."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for turn in range(rounds):
        names = list(chosen) if turn % 2 == 0 else list(chosen)[::-1]
        for name in names:
            turns[name].append(figures_of(chosen[name], image, colors))
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in turns.items()
    }


def summary(each: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Over the images: means, the longest time, and how far each PSNR lies above median cut's."""
    found = {}
    for name in next(iter(each.values())):
        rows = [image[name] for image in each.values()]
        above = [image[name]["psnr"] - image[MEDIAN_CUT]["psnr"] for image in each.values()]
        found[name] = {
            "psnr": statistics.mean(row["psnr"] for row in rows),
            "above_median_cut": statistics.mean(above),
            "least_above_median_cut": min(above),
            "seconds": statistics.mean(row["seconds"] for row in rows),
            "most_seconds": max(row["seconds"] for row in rows),
            "processor_seconds": statistics.mean(row["processor_seconds"] for row in rows),
            "bytes": statistics.mean(row["bytes"] for row in rows),
        }
    return found


def main() -> None:
    """Compare on every image and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of photographs")
    parser.add_argument("--colors", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", nargs="+", default=[], help="beginnings of names to leave out")
    parser.add_argument("--name", default="palette", help="name of the result")
    parser.add_argument("--out", type=Path, help="folder of the result; default: results/")
    options = parser.parse_args()
    if options.out is not None:
        common.RESULTS = options.out
    torch.set_num_threads(options.threads)
    chosen = {n: m for n, m in methods().items() if not n.startswith(tuple(options.without))}
    files = sorted(options.data.glob("*.png"))
    if not files:
        raise SystemExit(f"{options.data}: no PNG files")
    images = {file.name: np.asarray(Image.open(file).convert("RGB")) for file in files}
    for method in chosen.values():  # the first call of each loads what it needs
        method(next(iter(images.values()))[:64, :64], 16)
    sizes: dict[str, Any] = {}
    for colors in options.colors:
        each = {}
        for name, image in images.items():
            each[name] = of_image(image, colors, options.rounds, chosen)
            print(f"{colors} colours, {name}: {each[name][OURS]}", flush=True)
        sizes[str(colors)] = {"mean": summary(each), "images": each}
        print(table(str(colors), sizes[str(colors)]["mean"]), flush=True)
    means = [size["mean"][OURS] for size in sizes.values()]
    reached = all(one["above_median_cut"] >= GOAL_DB for one in means)
    common.write_result(
        options.name,
        {
            "goal": {"above_median_cut": GOAL_DB, "most_seconds": GOAL_SECONDS},
            "goal_psnr_reached": reached,
            "goal_seconds_reached": all(one["most_seconds"] <= GOAL_SECONDS for one in means),
            "pillow": PIL.__version__,
            "scikit_learn": version("scikit-learn"),
            "libimagequant": features.version("libimagequant"),
            "rounds": options.rounds,
            "seed": 0,
            "colors": sizes,
        },
    )


if __name__ == "__main__":
    main()
