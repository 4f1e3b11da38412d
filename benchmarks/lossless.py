"""Lossless files beside PNG and lossless WebP, and block codebooks beside JPEG: whole files.

    python benchmarks/lossless.py DATA RUN

DATA is a folder with photographs in `kodak` and `cifar10/test.parquet`, RUN a tokenizer of 3
channels. PNG is Pillow's with optimize, WebP its lossless one with quality 100 and method 6, the
slowest and smallest. Of CIFAR-10 the first pictures are taken, each in a file of its own, and all
in one file of ours. The speed is that of the coder in processor seconds of one core, without the
network that makes the reconstruction. JPEG has the highest quality, optimized, whose file is no
larger than that of the blocks.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import PIL
import torch
from lossless_page import table
from PIL import Image

import vocabula
from vocabula import codec
from vocabula.benchmark import record
from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.codec.pixel_steps import Scene

BLOCK, CODEWORDS = (4, 4), (64, 256, 1024)
PNG = {"format": "PNG", "optimize": True}
WEBP = {"format": "WEBP", "lossless": True, "quality": 100, "method": 6}


def size_of(picture: Image.Image, **options: Any) -> int:
    """Bytes of a picture's file."""
    file = io.BytesIO()
    picture.save(file, **options)
    return len(file.getvalue())


def lossless(pixels: np.ndarray, tokenizer: vocabula.SignalTokenizer) -> dict[str, float]:
    """Bytes of the file of one picture (H, W, 3) in three formats, ours read back and compared."""
    image, picture = torch.from_numpy(pixels.transpose(2, 0, 1).copy()), Image.fromarray(pixels)
    content = codec.to_bytes(image[None], tokenizer, lossless=True)
    assert torch.equal(codec.read(content, tokenizer)[0], image)
    return {
        "vocabula": len(content),
        "codes": codec.inspect(content).stage_bytes[0],
        "png": size_of(picture, **PNG),
        "webp": size_of(picture, **WEBP),
    }


def speed(pixels: np.ndarray, shown: np.ndarray, rounds: int) -> dict[str, float]:
    """Million values a second of one core that the coder writes and reads."""
    flat, known = (x.reshape(-1, 3).T[[1, 0, 2]] for x in (pixels, shown))
    values = flat.astype(np.uint32)
    scene = Scene(np.array([[1, *pixels.shape[:2]]], np.int64), np.ascontiguousarray(known))
    write, read = [], []
    for _ in range(rounds):
        start = time.process_time()
        encoder = new_encoder()
        encoder.pixels(values, scene)
        content = encoder.content()
        middle = time.process_time()
        new_decoder(content).pixels(scene)
        write.append(values.size / (middle - start) / 1e6)
        read.append(values.size / (time.process_time() - middle) / 1e6)
    return {"write": statistics.median(write), "read": statistics.median(read)}


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """DB between two pictures."""
    error = np.square(one.astype(np.float64) - other).mean()
    return float(10 * np.log10(255**2 / error))


def jpeg_within(pixels: np.ndarray, most: int) -> dict[str, float]:
    """The best JPEG of at most so many bytes; quality 1 where none is as small."""
    picture = Image.fromarray(pixels)
    for quality in range(95, 0, -1):
        file = io.BytesIO()
        picture.save(file, format="JPEG", quality=quality, optimize=True)
        if len(file.getvalue()) <= most or quality == 1:
            break
    shown = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    return {"jpeg_bytes": len(file.getvalue()), "jpeg_psnr": psnr(pixels, shown)}


def blocks(pixels: np.ndarray, codewords: int) -> dict[str, float]:
    """PSNR and bytes of a picture as blocks, and of JPEG at that size."""
    file = io.BytesIO()
    size = codec.write_blocks(file, [pixels], codewords, block=BLOCK)
    found = codec.read_blocks(file.getvalue())
    shown = found.images()[0]
    codes = codec.inspect(file.getvalue()).stage_bytes[0]
    figures = {"bytes": size, "code_bytes": codes, "psnr": psnr(pixels, shown)}
    return figures | jpeg_within(pixels, size)


def many(data: Path, count: int, tokenizer: vocabula.SignalTokenizer) -> dict[str, float]:
    """Mean bytes of small pictures, in single files and in one."""
    source = vocabula.open_source(str(data / "cifar10/test.parquet"))
    pictures = [np.asarray(source.read(i).image) for i in range(count)]
    each = [lossless(pixels, tokenizer) for pixels in pictures]
    images = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
    content = codec.to_bytes(images, tokenizer, lossless=True)
    assert torch.equal(torch.stack(codec.read(content, tokenizer)), images)
    means = {name: statistics.mean(one[name] for one in each) for name in each[0]}
    return means | {"vocabula_in_one_file": len(content) / count, "pictures": count}


def main() -> None:
    """Compare on every picture and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with kodak and cifar10")
    parser.add_argument("run", type=Path, help="a trained tokenizer of 3 channels")
    parser.add_argument("--small", type=int, default=500, help="pictures of CIFAR-10")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tokenizer = vocabula.load(options.run)
    photographs: dict[str, dict[str, Any]] = {}
    for path in sorted((options.data / "kodak").glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        photographs[path.name] = {"pixels": pixels.shape[0] * pixels.shape[1]}
        photographs[path.name] |= lossless(pixels, tokenizer)
        photographs[path.name]["blocks"] = {str(k): blocks(pixels, k) for k in CODEWORDS}
        print(path.name, photographs[path.name], flush=True)
    with torch.inference_mode():
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
        shown = (tokenizer.reconstruct(image)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    figures = {
        "tokenizer": tokenizer.fingerprint(),
        "pillow": PIL.__version__,
        "photographs": photographs,
        "cifar10": many(options.data, options.small, tokenizer),
        "million_values_per_second": speed(pixels, shown, options.rounds),
        "webp_beaten_on_every_photograph": all(
            one["vocabula"] < min(one["webp"], one["png"]) for one in photographs.values()
        ),
    }
    print(table(photographs))
    command = "python benchmarks/lossless.py DATA RUN"
    common.write(record("lossless", command, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
