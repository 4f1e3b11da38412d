"""Codes a second through whole compressed files, in memory: entropy model, checksums, container.

    python benchmarks/codec_speed.py --threads 2

Codes are drawn from a skewed distribution (static), or follow their neighbours (adaptive), as those
of photographs do. Medians of several runs.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import write

from vocabula import codec
from vocabula.benchmark import record


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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


def measure(entropy: str, symbols: int, side: int, threads: int, repeats: int) -> dict[str, Any]:
    """Codes a second of writing and reading one file."""
    codes = skewed(symbols, side) if entropy == "static" else smooth(symbols, side)
    counts = np.bincount(codes.reshape(-1), minlength=symbols)
    known = codec.CodeStatistics("x", (counts,), (np.arange(symbols, dtype=np.uint32),))
    content = b""

    def compress() -> None:
        nonlocal content
        file = io.BytesIO()
        codec.write_codes(file, [codes], [symbols], entropy=entropy, statistics=known, jobs=threads)
        content = file.getvalue()

    encoding = median_seconds(compress, repeats)
    decoding = median_seconds(
        lambda: codec.read_codes(content, statistics=known, jobs=threads), repeats
    )
    return {
        "entropy": entropy,
        "codewords": symbols,
        "codes": codes.size,
        "bits_per_code": 8 * len(content) / codes.size,
        "write_million_per_second": codes.size / encoding / 1e6,
        "read_million_per_second": codes.size / decoding / 1e6,
    }


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    rows = []
    for entropy, side in (("static", 2048), ("adaptive", 1024)):
        for symbols in (2, 64, 512, 1024, 16384, 262144):
            rows.append(measure(entropy, symbols, side, options.threads, options.repeats))
            print(rows[-1], flush=True)
    if not options.dry:
        command = f"python benchmarks/codec_speed.py --threads {options.threads}"
        write(record("codec-speed", command, options.threads, {"rows": rows}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
