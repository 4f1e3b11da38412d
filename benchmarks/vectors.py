"""Encoding vectors from a file, beside the bare search of their codes.

    python benchmarks/vectors.py --rounds 7

A file of N x D float32 vectors is made. Bare: `quantizer.encode` of the same vectors in memory,
batch by batch. Encode: `encode_dataset` from the memory-mapped file to a finished file of codes.
They take turns; the ratio is the median over rounds of encode seconds / bare seconds. Then the
peak memory of a process that encodes N and one that encodes N / 4 vectors, each in a process of
its own: it must not depend on N.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np
import torch

from vocabula.benchmark import record
from vocabula.cli.process import keep_freed_memory
from vocabula.data import open_vectors
from vocabula.pipelines import encode_dataset
from vocabula.quantizers import Quantizer
from vocabula.tokenizers import Tokenizer, build_tokenizer

GOAL = 1.3


def make_tokenizer(dim: int) -> Tokenizer:
    """The preset `vectors` after its first batch: identity, 4 x 256 residual codes, scaled."""
    book = {"name": "vector", "codebook_size": 256}
    specs = {
        "signal": "vector",
        "scaling": "standard",
        "encoder": "identity",
        "decoder": "identity",
        "likelihood": "normal",
        "quantizer": {"name": "residual", "stages": [book] * 4},
    }
    torch.manual_seed(0)
    tokenizer = build_tokenizer(specs, dim)
    assert isinstance(tokenizer, Tokenizer)
    x = torch.randn(8192, dim)
    assert tokenizer.scaling is not None
    tokenizer.scaling.fit([x])
    with torch.no_grad():
        tokenizer.train()(x)
    return tokenizer.eval()


def make_file(path: Path, count: int, dim: int) -> None:
    """A file of normal vectors, written in parts."""
    random = np.random.default_rng(0)
    whole = np.lib.format.open_memmap(path, "w+", np.float32, (count, dim))
    for first in range(0, count, 2**16):
        part = whole[first : first + 2**16]
        part[:] = random.standard_normal(part.shape, np.float32)
    whole.flush()


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def peak(file: Path, out: Path, limit: int, dim: int) -> int:
    """Bytes of a process that encodes the first `limit` vectors, at its peak."""
    words = [sys.executable, __file__, "--once", str(file), str(out), str(limit), str(dim)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["peak"])


def once(file: str, out: str, limit: str, dim: str) -> None:
    """Encode, and print the peak memory of this process that is not the file's own pages."""
    source = open_vectors(file)  # its pages stay mapped until they are counted
    encode_dataset(make_tokenizer(int(dim)), source, out, limit=int(limit), overwrite=True)
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    # not ru_maxrss, which begins with the memory of the process that started this one
    print(json.dumps({"peak": (kibibytes["VmHWM"] - kibibytes["RssFile"]) * 1024}))


def main() -> None:
    """Time the two and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()  # as the commands do
    tokenizer = make_tokenizer(options.dim)
    quantizer = tokenizer.quantizer
    assert isinstance(quantizer, Quantizer)
    with tempfile.TemporaryDirectory() as place:
        file, out = Path(place) / "vectors.npy", Path(place) / "codes.parquet"
        make_file(file, options.count, options.dim)
        x = torch.from_numpy(np.load(file))

        def bare() -> None:
            with torch.inference_mode():
                for part in x.split(2**15):
                    quantizer.encode(part)

        def encode() -> None:
            encode_dataset(tokenizer, open_vectors(file), out, overwrite=True)

        bare()
        pairs = [(seconds(bare), seconds(encode)) for _ in range(options.rounds)]
        memory = {
            str(n): peak(file, out, n, options.dim) for n in (options.count // 4, options.count)
        }
    figures = {
        "vectors": options.count,
        "dim": options.dim,
        "goal": GOAL,
        "torch_threads": torch.get_num_threads(),
        "bare_seconds": statistics.median(b for b, _ in pairs),
        "encode_seconds": statistics.median(e for _, e in pairs),
        "ratio": statistics.median(e / b for b, e in pairs),
        "peak_bytes_without_the_file": memory,
    }
    words = f"python benchmarks/vectors.py --rounds {options.rounds}"
    print(json.dumps(figures, indent=2))
    common.write(record("vectors", words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
    else:
        main()
