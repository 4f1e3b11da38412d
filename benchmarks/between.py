"""The same work by two versions, in turns: training step, encode, compress; or quantizers alone.

    python benchmarks/between.py DATA BEFORE AFTER --rounds 15
    python benchmarks/between.py quantizers BEFORE AFTER --rounds 15

DATA is a folder of JPEGs. BEFORE and AFTER are checkouts with their kernels built. A process of
either version stays alive, with the same saved tokenizer: it takes training steps of a VQ-VAE on
random pictures, encodes pictures to a file of codes and compresses them. With the word
`quantizers` it does the tasks `CASES` of the benchmark suites instead, on one thread. The two take
turns work by work, so that both meet the same load of the machine. The ratio is the median over
rounds of AFTER / BEFORE, of the seconds and of the processor's seconds, which others disturb less.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STEPS, PICTURES = 10, 48
WORKS = ("training_step", "encode", "compress")
LEAST_SECONDS = 0.2
"""A task is repeated until it takes about as long."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "train 8192 x 512 x 64": ("training", {"quantizer": "vector", "N": 8192, "K": 512, "D": 64}),
    "train 16384 x 16384 x 8": (
        "training",
        {"quantizer": "vector", "N": 16384, "K": 16384, "D": 8},
    ),
    "train finite scalar 65536 x 4": (
        "training",
        {"quantizer": "finite-scalar", "N": 65536, "K": 1000, "D": 4},
    ),
    "train look-up free 4096 x 14 bits": (
        "training",
        {"quantizer": "lookup-free", "N": 4096, "K": 2**14, "D": 14},
    ),
    "train residual 4096 x 8 x 1024 x 64": (
        "training",
        {"quantizer": "residual", "N": 4096, "K": 1024, "D": 64, "books": 8},
    ),
    "train product 4096 x 8 x 1024 x 64": (
        "training",
        {"quantizer": "product", "N": 4096, "K": 1024, "D": 64, "books": 8},
    ),
    "search 65536 x 1024 x 64": ("search", {"N": 65536, "K": 1024, "D": 64, "offset": 0}),
    "search 16384 x 8192 x 64": ("search", {"N": 16384, "K": 8192, "D": 64, "offset": 0}),
}


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
        _clocked(works[line.strip()])


def serve_cases() -> None:
    """Do the case that each line of the input names, as often as it says."""
    import torch

    from vocabula.benchmark import search, training
    from vocabula.benchmark.task import OURS, Settings

    torch.set_num_threads(1)
    suites: dict[str, Any] = {"search": search, "training": training}
    tasks: dict[str, Any] = {}
    for line in sys.stdin:
        times, name = line.strip().split(" ", 1)
        if name not in tasks:
            suite, values = CASES[name]
            tasks[name] = suites[suite].task(OURS, values, Settings(threads=1))
            tasks[name].run()  # a codebook starts with k-means
        task, count = tasks[name], int(times)
        _clocked(lambda task=task, count=count: [task.run() for _ in range(count)])


def _clocked(work: Callable[[], object]) -> None:
    """Do a work, and print its seconds of both kinds."""
    started = time.perf_counter(), time.process_time()
    work()
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
getattr(between, sys.argv[1])(*sys.argv[2:])
"""


class Version:
    """A live process of one version.

    Args:
        checkout: its folder.
        *words: the function that serves, and its arguments.
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


def in_turns(
    versions: list[Version], works: Sequence[str], rounds: int
) -> dict[str, dict[str, float]]:
    """The figures of each work, which both versions do in turns."""
    pairs: dict[str, list[list[list[float]]]] = {work: [] for work in works}
    for turn in range(-1, rounds):
        for work in works:
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            found = {which: versions[which].seconds(work) for which in order}
            if turn >= 0:  # the first turn warms up
                pairs[work].append([found[0], found[1]])
    for version in versions:
        version.end()
    return {work: figures_of(pairs[work]) for work in works}


def of_quantizers(checkouts: Sequence[Path], rounds: int) -> dict[str, dict[str, float]]:
    """The figures of each of `CASES`."""
    versions = [Version(checkout, "serve_cases") for checkout in checkouts]
    works = []
    for name in CASES:
        for version in versions:
            version.seconds(f"1 {name}")
        once = max(1e-4, versions[0].seconds(f"1 {name}")[1])
        works.append(f"{max(1, round(LEAST_SECONDS / once))} {name}")
    found = in_turns(versions, works, rounds)
    return {work.split(" ", 1)[1]: figures for work, figures in found.items()}


def main() -> None:
    """Time both versions and write the result."""
    import common

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of JPEGs, or the word quantizers")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if str(options.data) == "quantizers":
        both = of_quantizers([options.before, options.after], options.rounds)
        words = f"python benchmarks/between.py quantizers BEFORE AFTER --rounds {options.rounds}"
        common.write_result("between_quantizers", {"rounds": options.rounds, **both}, words)
        return
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
            Version(checkout, "serve", run, str(options.data), place)
            for checkout in (options.before, options.after)
        ]
        figures = in_turns(versions, WORKS, options.rounds)
    words = f"python benchmarks/between.py DATA BEFORE AFTER --rounds {options.rounds}"
    common.write_result("between", {"rounds": options.rounds, **figures}, words)


if __name__ == "__main__":
    main()
