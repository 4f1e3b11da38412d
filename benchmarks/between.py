"""The same work by two versions, in turns: training step, encode, compress.

    python benchmarks/between.py DATA BEFORE AFTER --rounds 7

DATA is a folder of JPEGs. BEFORE and AFTER are checkouts with their kernels built. In each round a
process of either version, the one after the other, takes training steps of a VQ-VAE on random
pictures, encodes pictures to a file of codes and compresses them, with the same saved tokenizer.
A process reports the median of its repeats; the ratio is the median over rounds of the seconds of
AFTER over those of BEFORE.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS, PICTURES = 40, 48


def median(function: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after one that warms up."""
    function()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def trainer() -> Any:
    """The trainer of the preset `cifar10`, alike in every version."""
    import torch

    from vocabula.tokenizers import build_tokenizer
    from vocabula.training import Trainer, load_config

    config = load_config("cifar10", ["training.batch_size=16"])
    torch.manual_seed(0)
    return Trainer(
        build_tokenizer(config.sections, 3),
        options=config.build("training"),
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
    )


def once(run: str, data: str, place: str) -> None:
    """The seconds of one process, printed as JSON."""
    import torch

    from vocabula import load, open_source
    from vocabula.pipelines_of import compress_files, encode_dataset

    torch.set_num_threads(2)
    torch.manual_seed(0)
    images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8)
    learner = trainer()
    steps = median(lambda: learner.train_step(images), STEPS)
    tokenizer, source = load(run), open_source(data)
    tokens = Path(place) / "tokens.parquet"
    encode = median(
        lambda: encode_dataset(tokenizer, source, tokens, limit=PICTURES, overwrite=True), 3
    )
    files = sorted(str(path) for path in Path(data).glob("*.jpg"))[:PICTURES]
    out = Path(place) / "all.vcb"
    compress = median(lambda: compress_files(tokenizer, files, out, overwrite=True), 3)
    print(json.dumps({"training_step": steps, "encode": encode, "compress": compress}))


BEGIN = """
import sys, types
homes = types.ModuleType("vocabula.pipelines_of")
for home in ("vocabula.pipelines", "vocabula.evaluation", "vocabula.codec"):
    try:
        module = __import__(home, fromlist=["x"])
    except ImportError:
        continue
    for name in ("compress_files", "encode_dataset"):
        if not hasattr(homes, name) and hasattr(module, name):
            setattr(homes, name, getattr(module, name))
sys.modules["vocabula.pipelines_of"] = homes
import between
between.once(*sys.argv[1:])
"""


def measured(checkout: Path, *words: str) -> dict[str, float]:
    """The seconds of a process of one version."""
    paths = os.pathsep.join([str(checkout / "src"), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, *words],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Time both versions and write the result."""
    import common

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of JPEGs")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = str(Path(place) / "run")
        made = (
            "import sys; from vocabula.tokenizers import build_tokenizer; "
            "from vocabula.training import load_config; import torch; torch.manual_seed(0); "
            "t = build_tokenizer(load_config('photos').sections, 3); "
            "t.train()(torch.rand(8, 3, 64, 64)); t.eval().save_pretrained(sys.argv[1])"
        )
        paths = {**os.environ, "PYTHONPATH": str(options.before / "src")}
        subprocess.run([sys.executable, "-c", made, run], env=paths, check=True)
        rounds = []
        for turn in range(options.rounds):
            pair = [options.before, options.after]
            order = pair if turn % 2 == 0 else pair[::-1]
            found = {one: measured(one, run, str(options.data), place) for one in order}
            rounds.append([found[one] for one in pair])
    names = rounds[0][0]
    figures = {
        name: {
            "before_seconds": statistics.median(before[name] for before, _ in rounds),
            "after_seconds": statistics.median(after[name] for _, after in rounds),
            "ratio": statistics.median(after[name] / before[name] for before, after in rounds),
            "ratio_of_minima": min(after[name] for _, after in rounds)
            / min(before[name] for before, _ in rounds),
        }
        for name in names
    }
    common.write_result("between", {"rounds": options.rounds, **figures})


if __name__ == "__main__":
    main()
