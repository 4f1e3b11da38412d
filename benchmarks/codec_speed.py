"""How fast compressed files are written and read, and what `compress` costs beside `encode`.

    python benchmarks/codec_speed.py DATA

Files: whole ones in memory, entropy model, checksums and container, on --threads threads. Codes are
drawn from a skewed distribution (static), or follow their neighbours (adaptive), as those of
photographs do. Million codes a second, of the clock and of the processor: a busy machine slows the
first alone. Coders: one core, our range coder and constriction's, which write the same words. The
adaptive model with constriction needs a call for every decision.

Compress: DATA is a folder of JPEGs. For each PRESET=IMAGES:SIDE an untrained tokenizer encodes that
many, whole (SIDE 0) or squares cut from them, to a file of codes (`encode_dataset`), to one
compressed file, and to a compressed file each. They take turns, each time to new files; the ratio
is the median over rounds of encode's seconds over compress's.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import constriction
import numpy as np
import torch
from encode_speed import make_folder, seconds

from vocabula import codec, open_source, pipelines
from vocabula.cli.process import keep_freed_memory
from vocabula.codec import fallback, native
from vocabula.pipelines import encode_dataset
from vocabula.tokenizers import build_tokenizer
from vocabula.training import load_config

SYMBOLS = (2, 64, 512, 1024, 16384, 262144)
PRESETS = ["photos=60:0", "cifar10=2000:32"]


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median seconds of the clock, and least seconds of the processor, of a call."""
    clock, processor = [], []
    for _ in range(repeats):
        start = time.process_time()
        clock.append(seconds(work))
        processor.append(time.process_time() - start)
    return statistics.median(clock), min(processor)


def skewed(symbols: int, side: int) -> np.ndarray:
    """Codes (side, side) with probabilities proportional to 1 / (1 + k / 8)."""
    p = 1 / (1 + np.arange(symbols) / 8)
    return np.random.default_rng(0).choice(symbols, (side, side), p=p / p.sum())


def smooth(symbols: int, side: int) -> np.ndarray:
    """Codes (side, side) that differ from their neighbours by noise of an eighth of K."""
    generator = np.random.default_rng(0)
    down, along = (np.cumsum(generator.normal(0, symbols / 64, side)) for _ in range(2))
    noise = generator.normal(0, symbols / 16, (side, side))
    return (down[:, None] + along + noise).astype(np.int64) % symbols


def whole_file(
    entropy: str, symbols: int, side: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Codes a second of writing and reading one file."""
    codes = skewed(symbols, side) if entropy == "static" else smooth(symbols, side)
    counts = np.bincount(codes.reshape(-1), minlength=symbols)
    known = codec.CodeStatistics("x", (counts,), (np.arange(symbols, dtype=np.uint32),))
    model = codec.choose_model(entropy, known)
    content = io.BytesIO()

    def write() -> None:
        content.seek(0)
        codec.write_codes(content, [codes], [symbols], entropy=model, jobs=options.threads)

    def read() -> None:
        codec.read_codes(content.getvalue(), models=[model], jobs=options.threads)

    writing, write_cpu = timed(write, options.repeats)
    reading, read_cpu = timed(read, options.repeats)
    million = codes.size / 1e6
    return {
        "entropy": entropy,
        "codewords": symbols,
        "codes": codes.size,
        "bits_per_code": 8 * len(content.getvalue()) / codes.size,
        "write_million_per_second": million / writing,
        "read_million_per_second": million / reading,
        "write_million_per_processor_second": million / write_cpu,
        "read_million_per_processor_second": million / read_cpu,
    }


def bare_coders(symbols: int, repeats: int) -> dict[str, Any]:
    """Million codes a processor second of both range coders, by one table."""
    codes = skewed(symbols, 1024).reshape(-1).astype(np.uint32)
    table = codec.Table(np.bincount(codes, minlength=symbols) + 1)
    model = fallback.constriction_table(table)
    ours, theirs = native.Encoder(), fallback.Encoder()
    for encoder in (ours, theirs):
        encoder.table(codes, table)
    words = theirs.words()
    assert ours.content() == theirs.content(), "the same words"

    def constriction_decode() -> None:
        constriction.stream.queue.RangeDecoder(words).decode(model, len(codes))

    work: dict[str, Callable[[], object]] = {
        "ours_encode": lambda: native.Encoder().table(codes, table),
        "ours_decode": lambda: native.Decoder(words).table(len(codes), table),
        "constriction_encode": lambda: fallback.Encoder().table(codes, table),
        "constriction_decode": constriction_decode,
    }
    rates = {name: len(codes) / 1e6 / timed(one, repeats)[1] for name, one in work.items()}
    return {"codewords": symbols, **rates}


def adaptive_with_constriction() -> float:
    """Million codes a processor second that the adaptive model decodes without our coder."""
    codes = smooth(1024, 24).reshape(-1).astype(np.uint32)
    block = codec.Block(((1024,),), (((1, (24, 24)),),), [codes])
    layer = codec.AdaptiveModel()._layer(block, 0, 0)
    encoder = fallback.Encoder()
    encoder.layer(codes, layer)
    words = encoder.words()
    return len(codes) / 1e6 / timed(lambda: fallback.Decoder(words).layer(layer), 3)[1]


def beside_encode(preset: str, data: Path, count: int, side: int, rounds: int) -> dict[str, Any]:
    """Pictures a second of `compress` and of `encode`, in turns."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(load_config(preset, []).sections, channels=3).eval()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_folder(data, Path(scratch) / "pictures", count, side)
        files, out = sorted(folder.iterdir()), Path(scratch)
        source = open_source(folder, channels=3)
        jobs = torch.get_num_threads()
        turns = itertools.count()
        contestants: dict[str, Callable[[], object]] = {
            "encode": lambda: encode_dataset(tokenizer, source, out / f"{next(turns)}.parquet"),
            "compress_together": lambda: pipelines.compress_files(
                tokenizer, files, out / f"{next(turns)}.vcb", jobs=jobs
            ),
            "compress_each": lambda: pipelines.compress_files(
                tokenizer, files, out / f"{next(turns)}", jobs=jobs
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(rounds + 1):  # the first pass allocates
            for name in contestants if turn % 2 else reversed(contestants):
                times[name].append(seconds(contestants[name]))
        times = {name: found[1:] for name, found in times.items()}
    rates = {f"{n}_pictures_per_second": count / statistics.median(t) for n, t in times.items()}
    ratios = {
        f"{name}_over_encode": statistics.median(
            e / c for e, c in zip(times["encode"], times[name], strict=True)
        )
        for name in ("compress_together", "compress_each")
    }
    return {"pictures": count, "side": side or "whole", **rates, **ratios}


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of JPEGs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="PRESET=IMAGES:SIDE")
    options = parser.parse_args()
    keep_freed_memory()  # as the commands do
    torch.set_num_threads(options.threads)
    rows = []
    for entropy, side in (("static", 2048), ("adaptive", 1024)):
        for symbols in SYMBOLS:
            rows.append(whole_file(entropy, symbols, side, options))
            print(rows[-1], flush=True)
    presets = {}
    for word in options.presets:
        preset, _, sizes = word.partition("=")
        count, _, side = sizes.partition(":")
        presets[preset] = beside_encode(
            preset, options.data, int(count), int(side), options.repeats
        )
    figures = {
        "files": rows,
        "coders_million_per_processor_second": [
            bare_coders(symbols, options.repeats) for symbols in (2, 1024, 262144)
        ],
        "adaptive_with_constriction_million_per_processor_second": adaptive_with_constriction(),
        "compress_beside_encode": presets,
    }
    common.write_result("codec-speed", figures)


if __name__ == "__main__":
    main()
