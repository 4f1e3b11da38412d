"""The same work by two versions, in turns: training step, encode, compress.

    python benchmarks/between.py DATA BEFORE AFTER --rounds 15

DATA is a folder of JPEGs. BEFORE and AFTER are checkouts with their kernels built. A process of
either version stays alive, with the same saved tokenizer: it takes training steps of a VQ-VAE on
random pictures, encodes pictures to a file of codes and compresses them. The two take turns work
by work, so that both meet the same load of the machine. The ratio is the median over rounds of
AFTER / BEFORE, of the seconds and of the processor's seconds, which others disturb less.
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

STEPS, PICTURES = 10, 48
WORKS = ("training_step", "encode", "compress")


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


def serve(run: str, data: str, place: str) -> None:
    """Do the work that each line of the input names; print its seconds, of both kinds."""
    import torch

    from vocabula import load, open_source
    from vocabula.pipelines_of import compress_files, encode_dataset

    torch.set_num_threads(2)
    torch.manual_seed(0)
    images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8)
    learner = trainer()
    tokenizer, source = load(run), open_source(data)
    files = sorted(str(path) for path in Path(data).glob("*.jpg"))[:PICTURES]
    tokens, out = (Path(place) / f"{os.getpid()}.{end}" for end in ("parquet", "vcb"))

    def train() -> None:
        for _ in range(STEPS):
            learner.train_step(images)

    works: dict[str, Callable[[], object]] = {
        "training_step": train,
        "encode": lambda: encode_dataset(tokenizer, source, tokens, limit=PICTURES, overwrite=True),
        "compress": lambda: compress_files(tokenizer, files, out, overwrite=True),
    }
    for line in sys.stdin:
        started = time.perf_counter(), time.process_time()
        works[line.strip()]()
        ended = time.perf_counter(), time.process_time()
        print(json.dumps([end - start for start, end in zip(started, ended, strict=True)]))
        sys.stdout.flush()


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
between.serve(*sys.argv[1:])
"""


class Version:
    """A live process of one version.

    Args:
        checkout: its folder.
        *words: arguments of `serve`.
    """

    def __init__(self, checkout: Path, *words: str) -> None:
        paths = os.pathsep.join([str(checkout / "src"), str(Path(__file__).parent)])
        self._process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, *words],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, work: str) -> list[float]:
        """The seconds of one work, and the processor's seconds."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{work}\n")
        process.stdin.flush()
        found: list[float] = json.loads(process.stdout.readline() or "[]")
        if not found:
            raise SystemExit(f"{work}: failed, see above")
        return found

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def figures_of(pairs: list[list[list[float]]]) -> dict[str, float]:
    """Medians and ratios of [before, after] of each round, in seconds of both kinds."""
    found: dict[str, float] = {}
    for place, kind in enumerate(("", "cpu_")):
        before, after = ([pair[which][place] for pair in pairs] for which in (0, 1))
        found |= {
            f"before_{kind}seconds": statistics.median(before),
            f"after_{kind}seconds": statistics.median(after),
            f"{kind}ratio": statistics.median(a / b for b, a in zip(before, after, strict=True)),
            f"{kind}ratio_of_minima": min(after) / min(before),
        }
    return found


def main() -> None:
    """Time both versions and write the result."""
    import common

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of JPEGs")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
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
        versions = [
            Version(checkout, run, str(options.data), place)
            for checkout in (options.before, options.after)
        ]
        pairs: dict[str, list[list[list[float]]]] = {work: [] for work in WORKS}
        for turn in range(-1, options.rounds):
            for work in WORKS:
                order = (0, 1) if turn % 2 == 0 else (1, 0)
                found = {which: versions[which].seconds(work) for which in order}
                if turn >= 0:  # the first turn warms up
                    pairs[work].append([found[0], found[1]])
        for version in versions:
            version.end()
    figures = {work: figures_of(pairs[work]) for work in WORKS}
    common.write_result("between", {"rounds": options.rounds, **figures})


if __name__ == "__main__":
    main()
