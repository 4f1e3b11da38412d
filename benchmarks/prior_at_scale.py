"""Training of a prior on 10^8 codes in 1,000 parts: its memory, and how long reading takes.

    python benchmarks/prior_at_scale.py

The same prior learns from one part and from a thousand, each in a process of its own. The memory
of the first is that of the model; what the second takes more is that of the codes. Both read codes
when they are needed, as is done beyond 512 MB. Every step's CPU time is parted into reading a batch
and learning from it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write_result

from vocabula.data import TokenRecord, write_tokens
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

PARTS, SIGNALS, SIDE, CODES = 1000, 391, 16, 1024
OPTIONS = [
    *("prior.hidden=64", "prior.layers=2", "prior.heads=2"),
    *("training.steps=60", "training.batch_size=64", "training.log_every=20", "held_out.every=60"),
    "held_out.most=256",
]

PROGRAM = """
import json, sys, time
from pathlib import Path
import torch
from vocabula.data import code_arrays
from vocabula.training import load_config, prior_session, train_prior
from vocabula.training.prior_trainer import PriorTrainer
torch.set_num_threads(1)
code_arrays.WHOLE = 0
run, tokens, out, *options = sys.argv[1:]
reading, learning = [], []
def timed(call, times):
    start = time.process_time()
    found = call()
    times.append(time.process_time() - start)
    return found
served, step = prior_session.train_code_batches, PriorTrainer.train_step
def batches(*words, **more):
    inner = served(*words, **more)
    while True:
        yield timed(lambda: next(inner), reading)
prior_session.train_code_batches = batches
PriorTrainer.train_step = lambda self, batch: timed(lambda: step(self, batch), learning)
start = time.process_time()
train_prior(load_config("transformer", options), run, tokens, out, progress=False)
used = time.process_time() - start
words = Path("/proc/self/status").read_text().split()
peak = int(words[words.index("VmHWM:") + 1]) / 1024
print(json.dumps([peak, used, reading, learning]))
"""


def tokenizer() -> SignalTokenizer:
    """An untrained tokenizer of small networks, with a book of 1,024."""
    torch.manual_seed(0)
    networks = {"name": "vqvae", "hidden": 8, "residual_hidden": 8, "downsample": 4}
    book = {"name": "vector", "dim": 8, "codebook_size": CODES, "initialization": "kmeans"}
    made = build_tokenizer({"encoder": networks, "decoder": networks, "quantizer": book}, 3)
    made.train()(torch.rand(32, 3, 32, 32))
    return made.eval()


def write_parts(folder: Path, made: SignalTokenizer) -> None:
    """A thousand equal parts of drawn codes."""
    folder.mkdir()
    drawn = np.random.default_rng(0).integers(0, CODES, (SIGNALS, SIDE, SIDE))
    records = [TokenRecord(c, f"{n}", n % 10, 4 * SIDE, 4 * SIDE) for n, c in enumerate(drawn)]
    specs = [level.spec for level in made.levels]
    first = folder / "00000.parquet"
    write_tokens(first, records, fingerprint=made.fingerprint(), levels=specs)
    for part in range(1, PARTS):
        shutil.copy(first, folder / f"{part:05}.parquet")


def trained(folder: Path, tokens: str, name: str) -> dict[str, Any]:
    """What training on some tokens takes."""
    words = [str(folder / "run"), str(folder / tokens), str(folder / name), *OPTIONS]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    peak, used, reading, learning = json.loads(done.stdout.splitlines()[-1])
    return {
        "peak_memory_mb": round(peak),
        "cpu_seconds": round(used, 1),
        "steps": len(learning),
        "cpu_milliseconds_of_reading_a_batch": round(1000 * statistics.mean(reading), 1),
        "cpu_milliseconds_of_the_slowest_read": round(1000 * max(reading), 1),
        "cpu_milliseconds_of_a_step": round(1000 * statistics.mean(learning), 1),
        "cpu_milliseconds_of_the_fastest_step": round(1000 * min(learning), 1),
    }


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder, made = Path(place), tokenizer()
        made.save_pretrained(folder / "run")
        write_parts(folder / "tokens", made)
        one = trained(folder, "tokens/00000.parquet", "one")
        print(json.dumps(one), flush=True)
        all_parts = trained(folder, "tokens", "all")
    figures = {
        "codes": PARTS * SIGNALS * SIDE**2,
        "parts": PARTS,
        "options": OPTIONS,
        "one_part": one,
        "all_parts": all_parts,
        "memory_mb_above_the_model": all_parts["peak_memory_mb"] - one["peak_memory_mb"],
    }
    write_result("prior-at-scale", figures, "python benchmarks/prior_at_scale.py")


if __name__ == "__main__":
    main()
